import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.report.settings import read_settings

RUNGS = [{"name": "a", "run": "runs/a"}]


def settings(**section):
    return read_settings(Config({"Report": {"title": "t", "rungs": RUNGS, **section}}, "ladder.yaml"))


def test_rungs_come_in_the_order_of_the_file():
    read = settings(rungs=[{"name": "t", "run": "x", "reference": True}, *RUNGS])
    assert [(rung.name, rung.reference) for rung in read.rungs] == [("t", True), ("a", False)]


@pytest.mark.parametrize("section, message", [
    ({"titel": "x"}, "ladder.yaml: Report has no option 'titel'. Did you mean 'title'?"),
    ({"rungs": [{"name": "a", "runs": "x"}]}, r"Report.rungs\[0\] has no option 'runs'. Did you mean 'run'?"),
    ({"rungs": [{"name": "a"}]}, r"Report.rungs\[0\] needs the option 'run'"),
    ({"rungs": {"a": "b"}}, "must be a list of runs"),
    ({"rungs": ["runs/a"]}, r"rungs\[0\] must hold 'name' and 'run'"),
    ({"rungs": []}, "needs at least one rung"),
    ({"rungs": [{"name": "a", "run": "x", "reference": True}]}, "needs at least one rung"),
    ({"rungs": [{"name": "a", "run": "x", "reference": "yes"}]}, "reference must be true or false"),
    ({"rungs": [{"name": 12, "run": "x"}]}, r"name must be a text, not 12\. Put it in quotes"),
    ({"title": None}, "title must be a text, not None"),
    ({"title": ""}, "Report.title must be a text, and not an empty one"),
    ({"rungs": [{"name": "", "run": "x"}]}, r"rungs\[0\].name must be a text, and not an empty one"),
    ({"truth": "truth.csv"}, "truth needs the option 'expansion'"),
])
def test_what_cannot_be_meant_is_refused_with_the_place(section, message):
    with pytest.raises(InputError, match=message):
        settings(**section)


def test_another_section_is_refused():
    with pytest.raises(InputError, match="no section 'Reports'. Did you mean 'Report'?"):
        read_settings(Config({"Reports": {}}, "ladder.yaml"))
