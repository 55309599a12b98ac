"""What the tests of soft labels share."""
from __future__ import annotations

import importlib.util
import pickle
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def make_original():
    """`make_original(file, [coords, flip, label])`: a file of the original format, laid out as PyTorch does; returns it."""
    def make(file, content):
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(f"{file.stem}/data.pkl", pickle.dumps(content, protocol=2))
            archive.writestr(f"{file.stem}/version", "3\n")
        return file
    return make


@pytest.fixture(scope="session")
def small():
    """The functions of writes_a_store.py, which write a store of 11 images with 6 crops each."""
    return _load("writes_a_store")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Pictures, tiny teachers, and what they say about crops; see makes_labels.py."""
    return _load("makes_labels").Workshop(tmp_path_factory.mktemp("pictures"))


def _load(name: str):
    """A file of this folder as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
