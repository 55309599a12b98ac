from __future__ import annotations

import pytest

from ssld import cli
from ssld.methods import METHODS, Method
from ssld.optim.optimizers import OPTIMIZERS


def listed(capsys, kind: str) -> list[str]:
    assert cli.main(["list", kind]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def toy(monkeypatch):
    """Registers a method for the length of a test."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    return METHODS.register


def test_each_method_is_listed_with_one_line_its_paper_and_its_needs(capsys):
    lines = listed(capsys, "methods")
    assert [line.split()[0] for line in lines[::3]] == METHODS.names()
    assert all(line.startswith("    paper   ") and "arXiv:" in line for line in lines[1::3])
    assert all(line.startswith("    needs   ") for line in lines[2::3])
    crd = next(place for place, line in enumerate(lines) if line.startswith("CRDLoss "))
    assert "Student and teacher shall embed an image alike" in lines[crd]
    assert lines[crd + 1].split(None, 1)[1].startswith('Tian et al., "Contrastive Representation Distillation"')
    assert lines[crd + 1].endswith("arXiv:1910.10699")
    assert lines[crd + 2] == "    needs   teacher: features (pool); student: features (pool); batch: index"


@pytest.mark.parametrize("name, needs", [
    ("CELoss", "batch: label"), ("KDLoss", "teacher: probabilities"), ("DKDLoss", "teacher: probabilities; batch: label"),
    ("ReviewKDLoss", "teacher: features (pre_stage1, pre_stage2, pre_stage3, pre_stage4, pool); student: features (pre_stage1, "
                     "pre_stage2, pre_stage3, pre_stage4, pool)")])
def test_needs_are_those_of_the_default_options(capsys, name, needs):
    lines = listed(capsys, "methods")
    assert lines[lines.index(next(line for line in lines if line.startswith(f"{name} "))) + 2] == f"    needs   {needs}"


def test_a_method_that_needs_an_option_or_names_no_paper_is_listed_all_the_same(capsys, toy):
    @toy
    class Bare(Method):
        needs = frozenset({"features", "label"})

        def __init__(self, tap):
            super().__init__()

    lines = listed(capsys, "methods")
    place = lines.index("Bare")
    assert lines[place + 1:place + 3] == ["    paper   none named",
                                          "    needs   teacher: features; student: features; batch: label"]


@pytest.mark.parametrize("source, paper", [
    ('Source: Toy et al., "Toys\n    and games", ICTL 2031, arXiv:3101.00001, section 3; Other, arXiv:3101.00002.',
     'Toy et al., "Toys and games", ICTL 2031, arXiv:3101.00001'),
    ("Source: Toy, a book.\n\n    And more.", "Toy, a book."), ("From nowhere.", None)])
def test_a_paper_is_the_first_one_of_the_docstrings_source(source, paper):
    toy = type("Toy", (Method,), {"__doc__": f"A toy.\n\n    {source}\n    "})
    assert toy.paper() == paper


def test_other_kinds_are_a_line_each(capsys):
    lines = listed(capsys, "optimizers")
    assert [line.split()[0] for line in lines] == OPTIMIZERS.names()
    assert [line for line in listed(capsys, "backbones") if line == "SmallResNet"]
