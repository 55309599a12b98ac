from dedup import Match
from ssld.report.comparison import read_comparison
from ssld.report.evidence import evidence_charts, tally


def a_match(inliers=0, agreement=0.0, cosine=None):
    return Match("p", "v", "sift", inliers, agreement, None, cosine, None, False)


def test_values_fall_into_their_bins_and_the_highest_share_the_last():
    bins = tally([a_match(5, 0.55), a_match(39, 1.0), a_match(250, 0.549), a_match(cosine=-0.2), a_match(cosine=0.7)])
    assert [i for i, n in enumerate(bins["inliers"]) if n] == [5, 39] and bins["inliers"][39] == 2
    assert [i for i, n in enumerate(bins["agreement"]) if n] == [21, 22, 39]
    assert [i for i, n in enumerate(bins["cosine"]) if n] == [0, 28]


def test_what_geometry_did_not_see_is_in_no_histogram_of_geometry():
    assert not any(map(any, tally([a_match()]).values()))


def test_removed_and_close_pairs_are_counted_and_thresholds_are_those_of_the_run(compared):
    charts = evidence_charts(read_comparison(compared))
    assert [text for _, text in charts["inliers"].legend] == ["removed: 3", "kept by a narrow margin: 1", "least of a copy: 6"]
    assert [text for _, text in charts["cosine"].legend][-1] == "verified from: 0.7"


def test_a_number_that_no_pair_has_gets_no_chart(compared):
    (compared / "removed.tsv").write_text((compared / "removed.tsv").read_text().replace("0.950000", ""))
    (compared / "close.tsv").write_text((compared / "close.tsv").read_text().replace("0.950000", ""))
    assert set(evidence_charts(read_comparison(compared))) == {"inliers", "agreement"}
