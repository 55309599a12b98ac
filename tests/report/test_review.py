import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from dedup.match import COLUMNS, Match, match_to_row, write_table
from dedup.overrides import KEEP, REMOVE
from ssld.cli import main
from ssld.errors import InputError
from ssld.report.cards import BY_HAND, NARROW, deal
from ssld.report.comparison import read_comparison
from ssld.report.review import write_review

HOSTILE = 'images/<script>alert("x")&\'.png'


class Page(HTMLParser):
    """Collects cards, texts, tags and addresses, and checks that every element is closed."""

    VOID = {"meta", "img", "input", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.addresses, self.cards = [], [], "", [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        if attributes.get("class") == "card":
            self.cards.append({**attributes, "path": json.loads(attributes["data-path"])})
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data + " "


def read(page):
    return Page(page.read_text(encoding="utf-8"))


def test_cards_are_what_a_person_decided_and_then_by_turns_uncertain_and_close(compared):
    cards = deal(read_comparison(compared), 10).cards
    assert [(c.path, c.kind, c.run, c.machine) for c in cards] == [
        ("images/hand.png", BY_HAND, REMOVE, KEEP), ("images/kept.png", BY_HAND, KEEP, REMOVE),
        (HOSTILE, "sift", REMOVE, REMOVE), ("images/close.png", NARROW, KEEP, KEEP),
        ("images/日本 & ü.png", "hash", REMOVE, REMOVE), ("images/a.png", "sift", REMOVE, REMOVE)]


def test_a_limit_leaves_room_for_both_kinds_and_forgets_no_earlier_decision(compared):
    comparison = read_comparison(compared)
    deck = deal(comparison, 4)
    assert [card.path for card in deck.cards][2:] == [HOSTILE, "images/close.png"] and deck.unseen == []
    deck = deal(comparison, 1)
    assert [card.path for card in deck.cards] == ["images/hand.png"] and deck.unseen == [(KEEP, "images/kept.png")]
    assert (deck.removed, deck.close) == (3, 1)


@pytest.mark.parametrize("removed, close, limit, expected", [(20, 20, 6, (3, 3)), (1, 20, 6, (1, 5)), (20, 1, 6, (5, 1)),
                                                             (2, 2, 6, (2, 2)), (20, 20, 1, (1, 0))])
def test_one_kind_fills_the_room_that_the_other_leaves(compared, removed, close, limit, expected):
    for name, count in (("removed", removed), ("close", close)):
        matches = [Match(f"{name}{i}.png", "v.png", "sift", i, 0.9, None, None, np.eye(2, 3), False) for i in range(count)]
        write_table(compared / f"{name}.tsv", COLUMNS, map(match_to_row, matches))
    comparison = read_comparison(compared)
    cards = deal(comparison._replace(manifest={**comparison.manifest, "overrides": {}}), limit).cards
    assert (sum(card.kind == "sift" for card in cards), sum(card.kind == NARROW for card in cards)) == expected


def test_the_page_shows_the_cards_and_hostile_names_as_text(compared):
    page = read(write_review(compared))
    assert [card["path"] for card in page.cards][:3] == ["images/hand.png", "images/kept.png", HOSTILE]
    assert HOSTILE in page.text and "images/日本 & ü.png" in page.text
    assert "alert(" not in re.sub(r"&[^;]+;alert", "", (compared / "review.html").read_text(encoding="utf-8"))
    assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_nothing_comes_from_elsewhere_and_every_picture_is_there_and_has_words(compared):
    page = read(write_review(compared))
    assert page.addresses and all(a.startswith(("#", "review_pictures/")) for a in page.addresses)
    assert all((compared / a).is_file() for a in page.addresses if not a.startswith("#"))
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert "url(" not in (compared / "review.html").read_text(encoding="utf-8")


def test_totals_stages_and_sources_are_those_of_the_run(compared):
    text = re.sub(r"\s+", " ", read(write_review(compared)).text)
    assert "Of 8 pool images, 4 were removed and 3 were left" in text
    assert "sift share key points (SIFT) 2" in text and "override were judged by a person 1" in text
    assert "compared with the evaluation images 8 3 1 4" in text and "decided by a person 4 1 0 3" in text
    assert "14,400 images per hour" in text and "not by features of a network" in text
    assert "1 file skipped as unreadable" in text and "By class: 1 ImageError" in text and "no such file" in text
    assert "min_inliers 6 5" in text                                  # its value and the usual one


def test_the_command_names_lists_roots_and_unusual_parameters(compared):
    text = read(write_review(compared)).text
    assert re.search(r"python -m dedup 'pool list.txt' --against val.txt --pool-root \S+ --eval-root \S+ --out \S+/clean "
                     r"-o min_inliers=6 --overrides overrides.tsv", text)


def test_an_expansion_shows_its_flow_selection_and_command(curated, tmp_path):
    (tmp_path / "classes.txt").write_text("cat\n<i>dog</i>\n")
    page = read(write_review(curated, classes=tmp_path / "classes.txt"))
    text = re.sub(r"\s+", " ", page.text)
    assert "3 selected + 2 not selected + 1 duplicate" in text and "<i>dog</i>" in text
    assert "scored by the teacher 5 0 0 5" in text and "selected 5 2 0 3" in text
    assert "ssld expand -c expand.yaml --overrides overrides.tsv" in text


@pytest.mark.parametrize("run", ["compared", "curated"])
def test_pictures_that_have_moved_are_found_through_the_roots(run, tmp_path, request):
    folder = request.getfixturevalue(run)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    assert "cannot be read" in write_review(folder).read_text(encoding="utf-8")
    moved = str(tmp_path / "moved")
    assert "cannot be read" not in write_review(folder, pool_root=moved, eval_root=moved).read_text(encoding="utf-8")


def test_the_page_is_the_same_every_time(compared):
    assert write_review(compared).read_bytes() == write_review(compared).read_bytes()


def test_a_run_that_removed_nothing_has_a_page_too(compared):
    for name in ("removed.tsv", "close.tsv"):
        write_table(compared / name, COLUMNS, [])
    manifest = json.loads((compared / "manifest.json").read_text())
    manifest["counts"].update(removed=0, kept=7, removed_by_reason={"sift": 0})
    (compared / "manifest.json").write_text(json.dumps({**manifest, "overrides": {}}))
    assert "Nothing was removed, and nothing came near to it" in read(write_review(compared)).text


def test_the_command_line_writes_the_page_where_it_is_told(compared, tmp_path, capsys):
    out = tmp_path / "elsewhere" / "look.html"
    assert main(["review", str(compared), "--out", str(out), "--limit", "3"]) == 0
    assert str(out) in capsys.readouterr().out and len(read(out).cards) == 3
    assert (tmp_path / "elsewhere" / "look_pictures").is_dir()


def test_a_folder_without_a_run_and_a_limit_of_nothing_are_refused(compared, tmp_path, capsys):
    assert main(["review", str(tmp_path)]) == 2 and "no finished comparison" in capsys.readouterr().err
    with pytest.raises(InputError, match="at least 1, not 0"):
        write_review(compared, limit=0)


def test_pages_are_made_without_paddle():
    script = "import sys; sys.modules['paddle'] = None; import ssld.report.page, ssld.report.review"
    subprocess.run([sys.executable, "-c", script], check=True)
