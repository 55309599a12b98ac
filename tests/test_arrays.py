"""Named arrays: whole, plain, or refused."""
import numpy as np
import pytest

from ssld.arrays import read_arrays, write_arrays
from ssld.errors import InputError


def test_what_is_written_is_read(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b/c": np.float16([0.5]), "text": np.array("word")}
    write_arrays(tmp_path / "x.npz", arrays)
    found = read_arrays(tmp_path / "x.npz")
    assert found.keys() == arrays.keys()
    assert all((found[name] == arrays[name]).all() and found[name].dtype == arrays[name].dtype for name in arrays)


def test_python_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="b hold Python objects"):
        write_arrays(tmp_path / "x.npz", {"a": np.zeros(1), "b": np.array([{}], object)})
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("damage", [lambda raw: raw[:-30], lambda raw: b"", lambda raw: raw[:60] + b"????" + raw[64:]])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = tmp_path / "x.npz"
    write_arrays(file, {"a": np.arange(100)})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="x.npz cannot be read"):
        read_arrays(file)


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([{}], object))
    with pytest.raises(InputError, match="x.npz cannot be read"):
        read_arrays(tmp_path / "x.npz")
