import pytest

from ssld.errors import InputError
from ssld.report.student import read_student


def test_multipliers_are_those_of_the_transfer_config(exported):
    assert read_student(exported).multipliers == [0.1, 0.25]


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match="no exported student"):
        read_student(tmp_path)


def test_an_export_that_lost_a_file_is_refused(exported):
    (exported / "inference.json").unlink()
    with pytest.raises(InputError, match="inference.json is missing"):
        read_student(exported)
