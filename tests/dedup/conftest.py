"""Pictures to test with: drawn, textured at all scales, and different for every seed."""
from __future__ import annotations

import cv2
import numpy as np
import pytest


def draw_photo(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """Noise at several scales with shapes on top, uint8 [H, W, 3] RGB."""
    random = np.random.default_rng(seed)
    canvas = np.full((height, width, 3), 128.0)
    for cells in (3, 6, 12, 24, 48):
        noise = random.normal(0, 160 / cells ** 0.5, (cells, cells, 3)).astype(np.float32)
        canvas += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(25):
        centre = int(random.integers(width)), int(random.integers(height))
        axes = int(random.integers(4, 40)), int(random.integers(4, 40))
        colour = random.integers(0, 256, 3).tolist()
        cv2.ellipse(canvas, centre, axes, float(random.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    return canvas


def save_image(path, rgb: np.ndarray, *parameters) -> str:
    """Write RGB pixels in the format of the suffix; `parameters` are OpenCV's, such as the JPEG quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(parameters))
    return str(path)


@pytest.fixture(scope="session")
def photo():
    """`photo(seed, height=240, width=320)`: a picture as uint8 [H, W, 3] RGB."""
    return draw_photo


@pytest.fixture(scope="session")
def save():
    """`save(path, rgb)`: write a picture, return its path as text."""
    return save_image


@pytest.fixture
def evaluation(tmp_path):
    """A folder with three evaluation pictures and their list."""
    for seed in range(3):
        save_image(tmp_path / "val" / f"{seed}.png", draw_photo(seed))
    (tmp_path / "val" / "list.txt").write_text("".join(f"{seed}.png {seed}\n" for seed in range(3)))
    return tmp_path / "val"


@pytest.fixture
def pool(tmp_path):
    """A folder with copies of evaluation pictures, other pictures and files that are none, and their list."""
    folder = tmp_path / "pool"
    first, second = draw_photo(0), draw_photo(1)
    save_image(folder / "same.png", first)
    save_image(folder / "jpeg.jpg", first, cv2.IMWRITE_JPEG_QUALITY, 50)
    save_image(folder / "crop.jpg", second[30:200, 60:290])
    save_image(folder / "mirror.jpg", second[:, ::-1])
    for seed in range(10, 16):
        save_image(folder / f"other{seed}.jpg", draw_photo(seed))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    names = ["other10.jpg 4", "same.png 1", "jpeg.jpg -1", "other11.jpg", "broken.jpg", "missing.jpg 3", "crop.jpg 2",
             "other12.jpg", "other10.jpg 4", "mirror.jpg", "other13.jpg 7", "other14.jpg", "other15.jpg"]
    (folder / "list.txt").write_text("\n".join(names) + "\n")
    return folder
