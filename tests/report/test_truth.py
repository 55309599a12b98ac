import pytest

from ssld.errors import InputError
from ssld.report.expansion import read_expansion
from ssld.report.truth import Tally, judge, judge_selection, read_truth


def test_recall_is_counted_per_kind_of_edit(curated, truth_file):
    judged = judge(read_expansion(curated), read_truth(truth_file))
    assert judged.copies == Tally(2, 1)
    assert judged.edits == {"crop": Tally(2, 1), "mirror": Tally(1, 0)}
    assert judged.right_source == 1


def test_missed_copies_and_false_removals_are_named(curated, truth_file):
    text = truth_file.read_text().replace("images/copy.png,copy,images/val.png,crop", "images/copy.png,clean,cat,")
    truth_file.write_text(text)
    judged = judge(read_expansion(curated), read_truth(truth_file))
    assert [(m.path, m.what, m.outcome) for m in judged.missed] == [("images/d.png", "crop+mirror", "not selected")]
    [wrong] = judged.false_removals
    assert (wrong.path, wrong.reference, wrong.outcome) == ("images/copy.png", "images/val.png", "sift")


def test_every_path_of_the_pool_is_counted_once(curated, truth_file):
    assert sum(judge(read_expansion(curated), read_truth(truth_file)).fates.values()) == 7


def test_the_wrong_evaluation_image_does_not_count_as_right(curated, truth_file):
    truth_file.write_text(truth_file.read_text().replace("images/val.png,crop\n", "images/other.png,crop\n"))
    assert judge(read_expansion(curated), read_truth(truth_file)).right_source == 0


def test_foreign_images_and_right_labels_of_a_selection_are_counted(curated, truth_file):
    judged = judge_selection(read_expansion(curated), read_truth(truth_file), ["cat", "dog"])
    assert judged._asdict() == {"images": 3, "copies": 0, "foreign": 1, "of_known_class": 2, "rightly_labelled": 1}


def test_the_truth_of_another_pool_is_refused(curated, truth_file):
    truth_file.write_text("path,kind,source,edits\nelsewhere.png,clean,,\n")
    with pytest.raises(InputError, match="another pool"):
        judge(read_expansion(curated), read_truth(truth_file))


def test_a_truth_without_its_columns_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,kind\n")
    with pytest.raises(InputError, match="'source' is missing"):
        read_truth(tmp_path / "t.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_truth(tmp_path / "absent.csv")
