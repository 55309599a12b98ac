import json

import pytest

from dedup.match import COLUMNS, write_table
from ssld.errors import InputError
from ssld.report.expansion import account, closest_kept, picks_per_class, read_expansion, uncertain_removals


def write_removed(folder, evidence):
    """removed.tsv with a pair per (inliers, agreement)."""
    rows = [(f"p{i}.png", "v.png", "sift", str(inliers), f"{agreement}", "", "", "1,0,0,0,1,0", "0")
            for i, (inliers, agreement) in enumerate(evidence)]
    write_table(folder / "duplicates/removed.tsv", COLUMNS, rows)
    write_table(folder / "duplicates/close.tsv", COLUMNS, rows)


def test_the_account_adds_up_to_the_lines_of_the_pool(curated):
    told = account(read_expansion(curated), 5)
    assert told.counts == {"selected": 3, "not selected": 2, "duplicate": 1, "labelled": 0, "unreadable": 1,
                           "repeated": 1}
    assert sum(told.counts.values()) == 8
    assert told.unreadable == [("images/broken<b>.png", "ImageError: the file is empty")]


def test_files_of_different_runs_are_refused(curated):
    with open(curated / "fates.tsv", "a") as file:
        file.write("images/z.png\tselected\t\n")
    with pytest.raises(InputError, match="different runs"):
        account(read_expansion(curated), 5)


@pytest.mark.parametrize("name", ["report.json", "fates.tsv", "selection.tsv", "duplicates/manifest.json"])
def test_an_expansion_that_is_not_finished_is_refused(curated, name):
    (curated / name).unlink()
    with pytest.raises(InputError, match=f"no finished expansion: .*{name} is missing"):
        read_expansion(curated)


def test_a_selection_in_a_subfolder_finds_the_comparison_above_it(curated):
    inner = curated / "random"
    inner.mkdir()
    for name in ("report.json", "fates.tsv", "selection.tsv"):
        (inner / name).write_bytes((curated / name).read_bytes())
    assert read_expansion(inner).duplicates == curated / "duplicates"


def test_options_are_those_of_the_run_and_unknown_ones_are_passed_over(curated):
    manifest = {"version": "9.9", "parameters": {"min_inliers": 6, "max_error_fraction": 0.5}}
    (curated / "duplicates/manifest.json").write_text(json.dumps(manifest))
    assert read_expansion(curated).options.min_inliers == 6


def test_least_certain_removals_come_first_and_closest_kept_pairs_first(curated):
    write_removed(curated, [(20, 0.9), (5, 0.6), (8, 0.7), (6, 0.9)])
    expansion = read_expansion(curated)
    assert [m.query for m in uncertain_removals(expansion, 3)] == ["p1.png", "p3.png", "p2.png"]
    assert [m.query for m in closest_kept(expansion, 2)] == ["p0.png", "p2.png"]


def test_a_damaged_table_is_refused_with_its_line(curated):
    write_removed(curated, [(5, 0.6), ("many", 0.7)])
    with pytest.raises(InputError, match=r"removed.tsv:3: not a match"):
        uncertain_removals(read_expansion(curated), 3)
    (curated / "selection.tsv").write_text("path\tclass\tprobability\trank\na.png\tcat\t0.5\t0\n")
    with pytest.raises(InputError, match=r"selection.tsv:2: expected class"):
        picks_per_class(read_expansion(curated), 2)
    (curated / "fates.tsv").write_text("path\tfate\tdetail\na.png selected\n")
    with pytest.raises(InputError, match=r"fates.tsv:2: expected 3 cells, found 1"):
        account(read_expansion(curated), 2)


def test_picks_are_the_first_and_last_of_each_class_and_none_twice(curated):
    rows = [(f"{label}-{rank}.png", str(label), f"{0.9 - rank / 20:.2f}", str(rank)) for label, n in ((0, 7), (2, 3))
            for rank in range(n)]
    write_table(curated / "selection.tsv", ("path", "class", "probability", "rank"), rows)
    picks = picks_per_class(read_expansion(curated), 2)
    assert {label: p.count for label, p in picks.items()} == {0: 7, 2: 3}
    assert [p.path for p in picks[0].best + picks[0].last] == ["0-0.png", "0-1.png", "0-5.png", "0-6.png"]
    assert [p.path for p in picks[2].best + picks[2].last] == ["2-0.png", "2-1.png", "2-2.png"]
