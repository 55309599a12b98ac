"""What makes a shipped config small enough for a test."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ssld.config import Config


@pytest.fixture(scope="session")
def small_pictures():
    """small_pictures(config, size) are overrides by which all transforms of a config give pictures of `size` pixels."""
    def overrides(config: Config, size: int) -> dict[str, int]:
        found = {}
        for mode in ("Train", "Eval"):
            for place, op in enumerate(config.data["DataLoader"][mode]["dataset"]["transform_ops"]):
                for operator, options in (op.items() if isinstance(op, dict) else ()):
                    found.update({f"DataLoader.{mode}.dataset.transform_ops.{place}.{operator}.{key}": size
                                  for key in options if key in ("size", "resize_short")})
        return found
    return overrides


@pytest.fixture(scope="session")
def small_lists(small_pictures):
    """small_lists(config, folder, size, images) writes lists of five classes, one picture under all of their lines, and
    returns overrides by which a config trains and evaluates on them, four pictures a batch."""
    def overrides(config: Config, folder, size: int, images: int = 8) -> dict:
        found: dict = small_pictures(config, size)
        for mode, count in (("Train", images), ("Eval", 8)):
            pixels = np.random.default_rng(len(mode)).integers(0, 256, (size + 16, size + 26, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{mode}.jpg")
            (folder / f"{mode}.txt").write_text("".join(f"{mode}.jpg {line % 5}\n" for line in range(count)))
            found.update({f"DataLoader.{mode}.dataset.image_root": folder, f"DataLoader.{mode}.loader.num_workers": 0,
                          f"DataLoader.{mode}.dataset.cls_label_path": folder / f"{mode}.txt",
                          f"DataLoader.{mode}.sampler.batch_size": 4})
        return found
    return overrides
