from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.export.class_names import read_class_names


@pytest.mark.parametrize("text, expected", [
    ("cat\ndog\n", ["cat", "dog"]),
    ("0 tench, Tinca tinca\n1 goldfish\n", ["tench, Tinca tinca", "goldfish"]),
    ("1 goldfish\n0\ttench\n", ["tench", "goldfish"]),
    ("\ufeffcat\r\n\r\n3 legged dog\r\n", ["cat", "3 legged dog"]),
    ("Käse\n日本", ["Käse", "日本"])])
def test_names_are_read_in_either_form(text, expected, tmp_path):
    (tmp_path / "names.txt").write_bytes(text.encode())
    assert read_class_names(tmp_path / "names.txt", 2) == expected


@pytest.mark.parametrize("text, message", [("cat\n", "names 1 classes, the student has 2"), ("", "names 0 classes"),
                                           ("0 a\n2 b\n", "class 1 of 0 to 1 has none"),
                                           ("0 a\n0 b\n", "class 1 of 0 to 1 has none")])
def test_names_that_do_not_fit_the_classes_are_refused(text, message, tmp_path):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_class_names(tmp_path / "names.txt", 2)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\xfa")
    for name in ("names.txt", "gone.txt"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read_class_names(tmp_path / name, 2)
