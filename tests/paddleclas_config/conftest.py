"""Old files to translate: the two YAML files beside this one, changed here and there."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ssld.config import read_with_bases
from ssld.paddleclas_config import translate

HERE = Path(__file__).resolve().parent


@pytest.fixture
def old_file(tmp_path):
    """old_file("distill_2x") writes one of the old files for this test's folder; returns its path."""
    def write(name: str) -> Path:
        file = tmp_path / "old.yaml"
        file.write_text((HERE / f"{name}.yaml").read_text().replace("FOLDER", str(tmp_path)))
        return file
    return write


@pytest.fixture
def translated(old_file):
    """translated("distill_2x", "Arch.models.1.Student.name: ResNet18", ...) changes keys of an old file, translates it.

    A value is YAML; "Arch.name" without one takes the key away.
    """
    def translated(name: str, *changes: str, processes: int = 1):
        data = read_with_bases(old_file(name))
        for change in changes:
            path, _, value = change.partition(": ")
            change_key(data, path.split("."), yaml.safe_load(value) if value else None, bool(value))
        return translate(data, "old.yaml", processes)
    return translated


@pytest.fixture
def v2(translated):
    """`translated` of the 2.x file."""
    return lambda *changes: translated("distill_2x", *changes)


@pytest.fixture
def v1(translated):
    """`translated` of the 1.x file."""
    return lambda *changes, processes=1: translated("distill_1x", *changes, processes=processes)


@pytest.fixture
def plain(v2):
    """A 2.x file without teacher."""
    return lambda *changes: v2("Arch: {name: ResNet18, class_num: 4}", "Loss.Train: [CELoss: {weight: 1.0, epsilon: 0.1}]",
                               "Metric.Eval: [TopkAcc: {topk: 2}]", *changes)


@pytest.fixture
def said():
    """What a translation's notice says, on one line."""
    return lambda translation: " ".join(translation.notice(show_native=False).split())


def change_key(data, path: list[str], value, keep: bool) -> None:
    for part in path[:-1]:
        data = data[int(part)] if isinstance(data, list) else data.setdefault(part, {})
    last = int(path[-1]) if isinstance(data, list) else path[-1]
    if keep:
        data[last] = value
    else:
        del data[last]
