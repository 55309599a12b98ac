import pytest

from ssld.errors import InputError
from ssld.report.expansion import read_expansion
from ssld.report.sections.selection import Compared, check_alike, section, shown_classes


def with_selected(expansion, counts):
    classes = {**expansion.report["classes"], "selected": counts}
    return expansion._replace(report={**expansion.report, "classes": classes})


def test_of_many_classes_those_with_the_fewest_images_are_shown(curated):
    expansion = with_selected(read_expansion(curated), [100 - i for i in range(90)])
    assert shown_classes(expansion) == list(range(50, 90))


def test_expansions_for_different_classes_are_not_compared(curated):
    expansion = read_expansion(curated)
    with pytest.raises(InputError, match="2 classes and .* has 3"):
        check_alike(expansion, with_selected(expansion, [1, 2, 3]))


def test_classes_that_the_teacher_confuses_and_those_that_gave_all_are_named(curated):
    expansion = with_selected(read_expansion(curated), [2, 1])
    expansion.report["classes"]["gave_all"] = [1]
    told = str(section(Compared(expansion, None, ["cat", "dog"], None)))
    assert "hesitates most often" in told and "1 gave all they had: dog." in told
