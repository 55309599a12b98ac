import pytest

from dedup.match import write_table
from ssld.errors import InputError
from ssld.report.expansion import account, picks_per_class, read_expansion


def test_the_account_adds_up_to_the_lines_of_the_pool(curated):
    told = account(read_expansion(curated), 5)
    assert told.counts == {"selected": 3, "not selected": 2, "duplicate": 1, "labelled": 0, "unreadable": 1,
                           "repeated": 1}
    assert sum(told.counts.values()) == 8
    assert told.unreadable == ("fates.tsv", {"ImageError": 1}, [("images/broken<b>.png", "ImageError: the file is empty")])


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
    assert read_expansion(inner).comparison.folder == curated / "duplicates"


def test_a_damaged_table_is_refused_with_its_line(curated):
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
