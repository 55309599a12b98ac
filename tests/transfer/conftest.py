"""A task of small pictures in class folders, an exported student of other classes, and a transfer between them."""
from __future__ import annotations

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml

from ssld import cli
from ssld.config import Config
from ssld.errors import InputError
from ssld.export.student import Student, export_student
from ssld.models.zoo import build_network
from ssld.recipe import run as recipe_run
from ssld.transfer.plan import read_transfer
from ssld.transfer.run import transfer

ARCH = {"name": "SmallResNet", "class_num": 3, "width": 4}
OPS = ["DecodeImage", {"ResizeImage": {"size": 16}}, "NormalizeImage", "ToCHWImage"]
CLASSES = ("ash", "birch tree", "cedar", "elm")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A network of three classes with weights of its own, as `ssld export` leaves it."""
    paddle.seed(5)
    network, folder = build_network(**ARCH), tmp_path_factory.mktemp("exported")
    images = np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype(np.float32)
    network(paddle.to_tensor(images))
    preprocess = [op if isinstance(op, dict) else {op: {}} for op in OPS]
    export_student(Student(network, ARCH, preprocess=preprocess, class_names=["x", "y", "z"]), folder, images)
    return folder


def write_folders(folder: Path, counts: dict, seed: int = 0) -> Path:
    """A folder for each class with so many pictures of its colour, and noise."""
    colours = np.random.default_rng(9).integers(40, 216, (len(CLASSES), 3))
    for name, count in counts.items():
        rng = np.random.default_rng((seed, CLASSES.index(name)))
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = colours[CLASSES.index(name)] + rng.normal(0, 40, (20, 20, 3))
            cv2.imwrite(str(folder / name / f"{number}.png"), pixels.clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def make_folders():
    """make_folders(folder, {"ash": 5, ...}, seed): see write_folders."""
    return write_folders


def write_task(folder: Path, exported: Path) -> dict:
    """Folders train and eval of four classes and a base config; returns the section Transfer of a search over four settings."""
    write_folders(folder / "train", dict.fromkeys(CLASSES, 6), 0)
    write_folders(folder / "eval", dict.fromkeys(CLASSES, 4), 1)
    base = {"Global": {"device": "cpu", "print_batch_step": 1}, "Loss": {"Train": [{"CELoss": {}}]},
            "Optimizer": {"lr": {"learning_rate": 0.05}, "regularizer": {"name": "L2", "coeff": 1e-4}},
            "DataLoader": {"Train": {"dataset": {"transform_ops": OPS}, "sampler": {"batch_size": 6}}}}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    return {"student": str(exported), "config": "base.yaml", "output_dir": str(folder / "out"),
            "train": {"image_root": str(folder / "train")}, "eval": {"image_root": str(folder / "eval")}, "validation": 0.3,
            "search": {"multipliers": ["ones", [0.1, 0.2, 0.3, 0.5]], "learning_rate": [0.01, 0.1], "rungs": [1, 2], "eta": 2},
            "final": {"seeds": [0, 1], "baselines": ["ones", "scratch"]}}


@pytest.fixture
def section(tmp_path, exported):
    """See write_task."""
    return write_task(tmp_path, exported)


@pytest.fixture
def plan_of(section, tmp_path, changed):
    """plan_of({"search.eta": 3}) reads the section with changes."""
    def plan_of(changes=()):
        return read_transfer(Config({"Transfer": changed(section, changes)}, str(tmp_path / "transfer.yaml")))
    return plan_of


def run_in_process(monkeypatch) -> list[str]:
    """Runs become function calls instead of processes; the list of their names, in the order in which they begin."""
    begun = []

    def run_logged(name, command, variables, log):
        begun.append(name)
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
            status = cli.main(command[3:])
        if status:
            raise InputError(f"{name} ended with status {status}: {said.getvalue()}")
    monkeypatch.setattr(recipe_run, "run_logged", run_logged)
    return begun


@pytest.fixture
def in_process(monkeypatch):
    """See run_in_process."""
    return run_in_process(monkeypatch)


@pytest.fixture(scope="module")
def done(tmp_path_factory, exported):
    """A whole transfer: its section, its runs, and transfer.json. Only to be looked at."""
    folder = tmp_path_factory.mktemp("done")
    section = write_task(folder, exported)
    with pytest.MonkeyPatch.context() as patch:
        begun = run_in_process(patch)
        file = transfer(read_transfer(Config({"Transfer": section}, str(folder / "transfer.yaml"))))
    return section, begun, file
