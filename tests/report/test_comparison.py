import json

import pytest

from dedup.match import COLUMNS, write_table
from dedup.overrides import Overrides
from ssld.errors import InputError
from ssld.report.comparison import closest_kept, read_comparison, uncertain_removals, unreadable


def write_pairs(folder, evidence):
    """removed.tsv and close.tsv with a pair per (inliers, agreement)."""
    rows = [(f"p{i}.png", "v.png", "sift", str(inliers), f"{agreement}", "", "", "1,0,0,0,1,0", "0")
            for i, (inliers, agreement) in enumerate(evidence)]
    write_table(folder / "removed.tsv", COLUMNS, rows)
    write_table(folder / "close.tsv", COLUMNS, rows)


def edited(folder, change):
    """The manifest with something changed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_comparison(folder)


def test_options_are_those_of_the_run_and_unknown_ones_are_passed_over(compared):
    comparison = edited(compared, lambda manifest: manifest["parameters"].update(min_inliers=9, unheard_of=1))
    assert comparison.options.min_inliers == 9


def test_least_certain_removals_come_first_and_closest_kept_pairs_first(compared):
    write_pairs(compared, [(20, 0.9), (5, 0.6), (8, 0.7), (6, 0.9)])
    comparison = read_comparison(compared)
    assert [m.query for m in uncertain_removals(comparison, 3)] == ["p1.png", "p3.png", "p2.png"]
    assert [m.query for m in closest_kept(comparison, 2)] == ["p0.png", "p2.png"]


def test_a_persons_decision_is_no_uncertain_removal(compared):
    assert "images/hand.png" not in [match.query for match in uncertain_removals(read_comparison(compared), 9)]


def test_overrides_that_a_run_followed_are_known(compared):
    assert read_comparison(compared).overrides == Overrides(frozenset({"images/kept.png"}), frozenset({"images/hand.png"}))
    assert edited(compared, lambda manifest: manifest.pop("overrides")).overrides == Overrides(frozenset(), frozenset())


def test_a_fingerprint_tells_results_apart_and_not_how_long_they_took(compared):
    first = read_comparison(compared).fingerprint()
    assert edited(compared, lambda manifest: manifest["duration"].update(seconds=99)).fingerprint() == first
    assert edited(compared, lambda manifest: manifest["parameters"].update(min_inliers=7)).fingerprint() != first


def test_unreadable_pictures_are_counted_by_class_and_the_first_are_listed(compared):
    assert unreadable(read_comparison(compared), 5) == ("errors.tsv", {"ImageError": 1}, [("gone.png", "no such file")])
    assert unreadable(read_comparison(compared), 0) == ("errors.tsv", {"ImageError": 1}, [])


@pytest.mark.parametrize("name", ["manifest.json", "removed.tsv", "close.tsv", "errors.tsv"])
def test_a_comparison_that_is_not_finished_is_refused(compared, name):
    (compared / name).unlink()
    with pytest.raises(InputError, match=f"no finished comparison: .*{name} is missing"):
        read_comparison(compared)


def test_a_manifest_without_roots_is_refused(compared):
    with pytest.raises(InputError, match="does not say where the pictures are"):
        edited(compared, lambda manifest: manifest["pool"].pop("root"))
    (compared / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="does not say where the pictures are"):
        read_comparison(compared)


def test_a_damaged_table_is_refused_with_its_line(compared):
    write_pairs(compared, [(5, 0.6), ("many", 0.7)])
    with pytest.raises(InputError, match=r"removed.tsv:3: not a match"):
        uncertain_removals(read_comparison(compared), 3)
