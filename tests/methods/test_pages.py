"""Every method's page in docs/methods/."""
from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from ssld.build import build_terms
from ssld.config import Config
from ssld.methods import METHODS
from ssld.methods.base import FROM_BATCH, FROM_TEACHER

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"


def page_of(name: str) -> str:
    return (PAGES / f"{METHODS.get(name, '').__module__.rsplit('.', 1)[-1]}.md").read_text()


def rows_of(page: Path, header: str) -> dict[str, list[str]]:
    """The cells of a table's rows, by the name of the method in the first one."""
    lines = page.read_text().split(f"\n{header}\n")[1].split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({row[0] for row in cells}) == len(cells)
    return {re.search(r"\w+", row[0])[0]: row for row in cells}


def test_every_method_names_its_paper_with_authors_title_and_number():
    for name in METHODS.names():
        assert re.search(r'[A-Z]\w+.* "[^"]+", (.+ )?arXiv:\d{4}\.\d{5}$', METHODS.get(name, "").paper() or ""), name


def test_the_readmes_table_has_every_method_with_the_paper_of_its_file():
    rows = rows_of(PAGES.parents[1] / "README.md", "| method | what the student learns from | paper |")
    assert sorted(rows) == METHODS.names()
    for name, (_, _, cell) in rows.items():
        paper = METHODS.get(name, "").paper()
        authors, number, address = re.fullmatch(r"(.+), \[arXiv:(\S+)\]\(https://arxiv.org/abs/(\S+)\)", cell).groups()
        assert number == address and paper.endswith(f"arXiv:{number}") and f'{authors}, "' in paper, name


def test_the_table_of_methods_says_what_each_reads():
    header = "| method | learns from | reads of the teacher | reads of the batch | brings layers |"
    rows = rows_of(PAGES / "README.md", header)
    assert sorted(rows) == METHODS.names()
    for name, (_, _, teacher, batch, _) in rows.items():
        needs = METHODS.get(name, "").needs
        assert set(re.findall(r"\w+", batch)) == needs & FROM_BATCH, name
        assert needs & FROM_TEACHER <= set(re.findall(r"\w+", teacher)) <= FROM_TEACHER | {"or"}, name
        assert bool(teacher) == bool(needs & FROM_TEACHER), name


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_has_a_page_that_names_its_options_its_source_and_a_config_that_builds(name):
    page, method = page_of(name), METHODS.get(name, "")
    assert page.startswith(f"# {name}\n") and f"[{name}](" in (PAGES / "README.md").read_text()
    for option, parameter in inspect.signature(method).parameters.items():
        described = parameter.default is parameter.empty or re.search(rf"^\|[^|]*`{option}`", page, re.MULTILINE)
        assert described, f"{option} is not in the table of options"
    assert re.findall(r"arXiv:\d{4}\.\d{5}", page)[0] in inspect.getdoc(method)
    snippets = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert snippets
    for snippet in snippets:
        data = {"Arch": {"student": {"name": "ResNet18", "class_num": 10}}, **yaml.safe_load(snippet)}
        assert name in [type(term.method).__name__ for term in build_terms(Config(data, "page"))]
