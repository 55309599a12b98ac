import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ssld.cli import main
from ssld.config import Config
from ssld.report.page import read_material, render, write_figures
from ssld.report.settings import read_settings


class Page(HTMLParser):
    """Collects tags, texts and links, and checks that every element is closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.sources = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


@pytest.fixture
def page(ladder_file):
    return render(read_material(read_settings(Config.load(ladder_file))))


def test_every_element_is_closed_and_nothing_comes_from_elsewhere(page):
    read = Page(page)
    assert read.open == []
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in read.sources) and read.sources
    assert "url(" not in page and "@import" not in page
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe"}


def test_hostile_names_are_shown_and_not_obeyed(page):
    text = Page(page).text
    for name in ("A <title>", "first <rung>", "labels & nothing else", "<i>dog</i>", "images/broken<b>.png"):
        assert name in text
    assert "<script" not in page and "<rung>" not in page and "<i>dog" not in page


def test_every_picture_has_words_for_those_who_do_not_see_it(page):
    tags = Page(page).tags
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    charts = [attributes for tag, attributes in tags if tag == "svg" and attributes.get("role") == "img"]
    assert pictures and charts and all(p["alt"] for p in pictures) and all(c["aria-label"] for c in charts)


def test_the_numbers_are_those_of_the_logs(page):
    text = Page(page).text.replace("\xa0", " ")
    for number in ("55.00 %", "67.50 %", "80.00 %", "+12.50", "± 3.52", "± 3.31", "1 min 15 s", "30 s"):
        assert number in text
    assert "rises from 55.00 % to 67.50 %" in text and "70.00 %" not in text        # 70 % was an evaluation in between


def test_counts_of_the_flow_and_of_the_truth_are_shown(page):
    text = re.sub(r"\s+", " ", Page(page).text)
    assert "3 selected + 2 not selected + 1 duplicate + 1 unreadable + 1 repeated = 8 lines" in text
    assert "1 of 2 planted copies" in text and "11 labelled and 3 selected images, 14 in all" in text
    assert "1 of 3 (33.3 %)" in text            # the foreign one among the selected


def test_parts_that_are_not_given_are_left_out(ladder_file):
    config = Config.load(ladder_file)
    for name in ("expansion", "random_expansion", "truth", "export", "classes"):
        del config.data["Report"][name]
    text = Page(render(read_material(read_settings(config)))).text
    assert "The ladder" in text and "How to make it again" in text
    assert "What curation did" not in text and "The exported student" not in text


@pytest.mark.parametrize("last, words", [((0, 0.56), "may be chance"), ((0, 0.2), "the ladder did not help")])
def test_a_rung_that_does_not_help_is_told_as_such(tmp_path, ladder_file, make_run, last, words):
    config = Config.load(ladder_file, [f"Report.rungs.2.run={make_run(tmp_path / 'last', last)}"])
    assert words in Page(render(read_material(read_settings(config)))).text


def test_figures_are_whole_svg_files(tmp_path, ladder_file):
    files = write_figures(read_material(read_settings(Config.load(ladder_file))), tmp_path / "figures")
    assert {"ladder.svg", "top_1_accuracy.svg", "flow.svg", "images_per_class.svg"} <= {file.name for file in files}
    for file in files:
        assert ElementTree.fromstring(file.read_text(encoding="utf-8")).tag.endswith("svg")


def test_the_command_writes_the_page_and_takes_overrides(tmp_path, ladder_file, capsys):
    out = tmp_path / "out" / "report.html"
    assert main(["report", "-c", str(ladder_file), "--out", str(out), "-o", "Report.title=Another"]) == 0
    assert "<h1>Another</h1>" in out.read_text(encoding="utf-8") and str(out) in capsys.readouterr().out


def test_the_command_refuses_what_is_not_finished_with_status_2(tmp_path, ladder_file, capsys):
    log = tmp_path / "second" / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if json.loads(line)["event"] != "end"))
    assert main(["report", "-c", str(ladder_file), "--out", str(tmp_path / "r.html")]) == 2
    assert "is not finished" in capsys.readouterr().err and not (tmp_path / "r.html").exists()


def test_the_page_is_the_same_every_time(ladder_file, page):
    assert render(read_material(read_settings(Config.load(ladder_file)))) == page
