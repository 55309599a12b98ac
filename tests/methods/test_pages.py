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

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"


def page_of(name: str) -> str:
    return (PAGES / f"{METHODS.get(name, '').__module__.rsplit('.', 1)[-1]}.md").read_text()


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
