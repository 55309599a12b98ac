"""What several test files share: oracles, tiny pictures, and the settings of a tiny run."""
from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def oracle():
    """Loads a file of tests/reference: `oracle("losses").ce(...)`."""
    def load(name: str):
        spec = importlib.util.spec_from_file_location(f"reference_{name}", HERE / "reference" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return load


@pytest.fixture(scope="session")
def make_list():
    """Writes `count` noisy JPEG files, one mean colour per class, and their list; returns the list file."""
    def make(folder: Path, name: str, count: int, class_num: int = 4, size: int = 16, labelled: bool = True) -> Path:
        rng = np.random.default_rng([count, *name.encode()])
        colours = np.random.default_rng(0).integers(40, 216, (class_num, 3))
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = []
        for i in range(count):
            pixels = colours[i % class_num] + rng.normal(0, 60, (size, size, 3))
            cv2.imwrite(str(folder / name / f"{i}.jpg"), pixels.clip(0, 255).astype(np.uint8))
            lines.append(f"{name}/{i}.jpg {i % class_num}\n" if labelled else f"{name}/{i}.jpg\n")
        (folder / f"{name}.txt").write_text("".join(lines))
        return folder / f"{name}.txt"
    return make


@pytest.fixture(scope="session")
def settings_of():
    """The settings of a supervised run on `train.txt` and `val.txt` of a folder, as YAML would give them."""
    def settings(folder: Path, batch_size: int = 8, **global_section) -> dict:
        def loader(name, ops):
            dataset = {"image_root": str(folder), "cls_label_path": str(folder / f"{name}.txt"),
                       "transform_ops": [{"DecodeImage": {}}, *ops, "NormalizeImage", "ToCHWImage"]}
            return {"dataset": dataset, "sampler": {"batch_size": batch_size}}

        return {"Global": {"output_dir": str(folder / "run"), "device": "cpu", "seed": 3, "print_batch_step": 1,
                           **global_section},
                "Arch": {"student": {"name": "SmallResNet", "class_num": 4, "width": 4}},
                "Loss": {"Train": [{"CELoss": {}}]},
                "Optimizer": {"lr": {"name": "Cosine", "learning_rate": 0.05, "warmup_epoch": 0.5}},
                "DataLoader": {"Train": loader("train", [{"RandCropImage": {"size": 16}}, "RandFlipImage"]),
                               "Eval": loader("val", [])}}
    return settings


@pytest.fixture(scope="session")
def changed():
    """changed(settings, {"Global.epochs": 2}) is a copy of nested settings with some of them changed; None removes one."""
    def changed(settings: dict, changes=()) -> dict:
        settings = copy.deepcopy(settings)
        for key, value in dict(changes).items():
            place = settings
            *parents, last = key.split(".")
            for part in parents:
                place = place.setdefault(part, {})
            place[last] = value
        return settings
    return changed


@pytest.fixture
def tiny(tmp_path, make_list, settings_of):
    """A folder with 24 training and 10 evaluation pictures, and the settings of a run on them."""
    make_list(tmp_path, "train", 24)
    make_list(tmp_path, "val", 10)
    return settings_of(tmp_path)


@pytest.fixture(scope="session")
def make_store():
    """Writes a store of soft labels for a list: make(folder, list file, kind=..., k=..., crops=6); returns its folder.

    The labels are random distributions over 4 classes; `unreadable` rows have none.
    """
    from ssld.data.manifest import Manifest
    from ssld.softlabels.codec import Codec
    from ssld.softlabels.crops import draw_crops
    from ssld.softlabels.writer import StoreWriter

    def make(folder: Path, list_file: Path, kind: str = "marginal_smoothing", k: int | None = 3, crops: int = 6, seed: int = 5,
             class_num: int = 4, unreadable=(), shard_images: int = 16) -> Path:
        images, codec = Manifest.read(list_file), Codec(kind, k, class_num)
        writer = StoreWriter(folder, {"seed": seed}, images, codec, crops, shard_images)
        for shard in writer.shards():
            for row in range(shard.first, shard.stop):
                height, width = cv2.imread(str(images.file(row)), cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR).shape[:2]
                drawn = draw_crops(seed, images.path[row], width, height, crops)
                labels = np.random.default_rng((seed, row)).dirichlet(np.full(class_num, 0.7), crops)
                bad = row in unreadable
                records = np.zeros(crops, codec.dtype) if bad else codec.encode(labels, drawn)
                shard.append(records[None], *(np.array([0 if bad else n]) for n in (width, height)), np.array([not bad]))
            shard.close()
        writer.finish()
        return folder
    return make


@pytest.fixture
def stored(tiny, tmp_path, make_store):
    """The tiny run taught by stored labels."""
    make_store(tmp_path / "labels", tmp_path / "train.txt")
    tiny["Arch"]["teacher"] = {"source": "stored", "path": str(tmp_path / "labels"), "crops_per_image": 2}
    tiny["Loss"]["Train"] = [{"SoftCELoss": {}}]
    return tiny
