"""A trained and exported student, and the pictures that it is asked about."""
from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.export.run import export
from ssld.train.run import train

NAMES = ("ash", "birch tree", "cedar", "elm")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, make_list, settings_of):
    """A run of one epoch on four classes: (config, folder of its pictures, folder of its export)."""
    folder = tmp_path_factory.mktemp("predict")
    make_list(folder, "train", 24)
    make_list(folder, "val", 10)
    (folder / "names.txt").write_text("\n".join(NAMES))
    config = Config(settings_of(folder, epochs=3), "run.yaml")
    train(config)
    export(config, str(folder / "exported"), class_names=str(folder / "names.txt"))
    return config, folder / "val", folder / "exported"


@pytest.fixture
def pictures(trained):
    """The folder of the evaluation's pictures."""
    return trained[1]


@pytest.fixture
def exported(trained):
    """The folder of the export."""
    return trained[2]
