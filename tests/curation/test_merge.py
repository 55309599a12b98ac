"""The training list: labelled rows first and unchanged."""
import pytest

from ssld.curation.merge import merge
from ssld.data.manifest import Manifest
from ssld.errors import InputError


def test_labelled_rows_come_first_and_a_path_in_both_stays_labelled(tmp_path):
    labelled = Manifest(tmp_path, ["a", "b"], [1, 2])
    merged = merge(labelled, Manifest(tmp_path, ["c", "b"], [0, 0]))
    assert list(merged.path) == ["a", "b", "c"] and merged.label.tolist() == [1, 2, 0]
    assert merged.columns["source"].tolist() == [0, 0, 1] and merged.root == tmp_path


def test_lists_of_different_folders_get_a_common_root(tmp_path):
    for folder in ("data/labelled", "data/heap/deep"):
        (tmp_path / folder).mkdir(parents=True)
    merged = merge(Manifest(tmp_path / "data/labelled", ["x"], [3]), Manifest(tmp_path / "data/heap/deep", ["x"], [4]))
    assert merged.root.resolve() == tmp_path / "data"
    assert list(merged.path) == ["labelled/x", "heap/deep/x"]


def test_a_root_that_does_not_hold_the_images_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match="outside image_root"):
        merge(Manifest(tmp_path / "a", ["x"], [0]), Manifest(tmp_path / "b", ["y"], [0]), tmp_path / "a")
