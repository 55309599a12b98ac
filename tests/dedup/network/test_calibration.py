import json
import math

import numpy as np
import pytest

from dedup import Options
from dedup.errors import InputError
from dedup.network.calibration import (
    Copies,
    Others,
    candidate_threshold,
    decide,
    read_thresholds,
    removal_threshold,
    tail_size,
    upper_bound,
)


def copies_of(cosine, rank=None, edit="flip"):
    cosine = np.asarray(cosine, np.float32)
    return Copies(np.repeat([edit], len(cosine)), cosine, np.zeros(len(cosine), int) if rank is None else np.asarray(rank))


def others_of(cosine):
    cosine = np.sort(np.asarray(cosine, np.float32))[::-1]
    names = [f"{i}.jpg" for i in range(len(cosine))]
    return Others(names, ["r.jpg"] * len(names), cosine)


def recall_at(threshold, copies, candidates):
    return sum(r < candidates and c >= threshold for c, r in zip(copies.cosine, copies.rank)) / len(copies.cosine)


@pytest.mark.parametrize("seed", range(5))
def test_t_cand_is_the_largest_cosine_that_proposes_99_percent(seed):
    random = np.random.default_rng(seed)
    copies = copies_of(random.uniform(0.2, 1, 700), np.where(random.random(700) < 0.004, 9, 0))
    threshold = candidate_threshold(copies, 5)
    assert recall_at(threshold, copies, 5) >= 0.99
    # the next copy above would be one too many to lose
    missed = sorted(c for c, r in zip(copies.cosine, copies.rank) if r < 5 and c > threshold + 1.501e-4)
    assert recall_at(missed[0] + 1e-6, copies, 5) < 0.99


def test_t_cand_proposes_99_percent_of_those_within_reach_where_99_percent_of_all_cannot_be():
    cosine = np.linspace(0.5, 0.9, 200)
    copies = copies_of(cosine, [0, 7] * 100)
    threshold = candidate_threshold(copies, 5)
    assert threshold == pytest.approx(np.sort(cosine[::2])[1], abs=1.6e-4)
    assert recall_at(threshold, copies, 5) == pytest.approx(0.495)


def test_t_cand_is_1_where_no_source_is_within_reach():
    assert candidate_threshold(copies_of([0.5, 0.9], [6, 8]), 5) == 1.0


@pytest.mark.parametrize("count, removed", [(1000, 1), (1999, 1), (2000, 2), (4000, 4)])
def test_t_auto_is_the_smallest_cosine_that_removes_one_in_a_thousand(count, removed):
    cosine = others_of(np.linspace(-0.1, 0.9, count)).cosine
    threshold = removal_threshold(cosine)
    assert (cosine >= threshold).sum() == removed
    assert 0 < threshold - cosine[removed] <= 1.501e-4


def test_of_equal_cosines_all_or_none_are_removed():
    assert (np.full(2000, 0.5, np.float32) >= removal_threshold(np.full(2000, 0.5, np.float32))).sum() == 0


def test_few_other_pictures_lead_to_a_threshold_above_all_of_them_from_their_tail():
    cosine = others_of(np.random.default_rng(0).uniform(0, 0.6, 200)).cosine
    start = cosine[20]
    expected = start + sum(cosine[:20] - start) / 20 * math.log(100)
    assert removal_threshold(cosine) == pytest.approx(expected, abs=1.6e-4)
    assert removal_threshold(cosine) > cosine[0]


@pytest.mark.parametrize("cosine", [[], [0.3], [0.9999, 0.2, 0.1], [1.0] * 2000])
def test_where_no_cosine_below_one_is_safe_features_never_remove(cosine):
    assert removal_threshold(np.array(cosine, np.float32)) is None


def test_an_exponential_tail_is_continued_to_one_in_a_thousand():
    """Median over 200 draws of 300 pictures against the true quantile."""
    found = []
    for seed in range(200):
        cosine = np.sort(np.random.default_rng(seed).exponential(0.05, 300))[::-1]
        found.append(removal_threshold(cosine))
    assert np.median(found) == pytest.approx(0.05 * math.log(1000), rel=0.1)


def test_the_pictures_a_threshold_is_taken_from_are_known_for_sure():
    assert [tail_size(n) for n in (5, 200, 999, 1000, 5000)] == [1, 20, 100, 2, 6]


@pytest.mark.parametrize("events, bound", [(0, 2.9957), (1, 4.7439), (2, 6.2958), (10, 16.9622)])
def test_the_upper_bound_is_that_of_a_poisson_number(events, bound):
    assert upper_bound(events) == pytest.approx(bound, abs=1e-4)


def test_rates_are_counted_at_the_thresholds():
    copies = Copies(np.array(["a"] * 100 + ["b"] * 100), np.float32([0.95] * 100 + [0.6] * 99 + [0.1]),
                    np.array([0] * 150 + [3] * 49 + [50]))
    found = decide("net", 5, 40, copies, others_of([0.8, 0.7, 0.7] + [0.2] * 1997), excluded=3, unreadable=2)
    assert (found.t_cand, found.t_auto) == (pytest.approx(0.6, abs=1.6e-4), pytest.approx(0.7, abs=1.6e-4))
    assert found.per_edit == {"a": {"t_cand": 1.0, "t_auto": 1.0}, "b": {"t_cand": 0.99, "t_auto": 0.0}}
    assert (found.right, found.reachable, found.recall, found.recall_auto) == (0.75, 0.995, 0.995, 0.5)
    assert (found.removed, found.proposed, found.extrapolated) == (1, 3 / 2000, False)
    assert found.removed_at_most == pytest.approx(4.7439 / 2000, abs=1e-6)
    assert (found.copies, found.others, found.references, found.excluded, found.unreadable) == (200, 2000, 40, 3, 2)


def test_t_cand_never_lies_above_t_auto():
    found = decide("net", 5, 40, copies_of([0.9] * 200), others_of([0.3] * 2000))
    assert found.t_cand == found.t_auto == pytest.approx(0.3001, abs=1e-4)


def test_a_calibration_is_written_and_its_thresholds_are_read_back_as_options(tmp_path):
    found = decide("net", 5, 40, copies_of(np.linspace(0.4, 1, 300)), others_of(np.linspace(0, 0.5, 400)))
    found.write(tmp_path)
    assert read_thresholds(tmp_path / "thresholds.json") == found.thresholds
    assert Options(**found.thresholds).t_cand == found.t_cand
    record = json.loads((tmp_path / "calibration.json").read_text())
    assert record["copies"] == 300 and record["others"] == 400 and record["extrapolated"] is True
    assert record["closest"][0] == ["0.jpg", "r.jpg", 0.5] and "cosines" not in record
    assert "t_auto" in (tmp_path / "calibration.svg").read_text()


def test_a_calibration_without_t_auto_is_written_and_read_back(tmp_path):
    found = decide("net", 5, 1, copies_of([0.4, 0.5]), others_of([]))
    found.write(tmp_path)
    assert found.t_auto is None and found.removed_at_most == 0 and "never" in found.summary()
    assert read_thresholds(tmp_path / "thresholds.json")["t_auto"] is None


def test_the_summary_says_what_the_thresholds_rest_on():
    text = decide("net", 5, 40, copies_of([0.9] * 50, [0] * 40 + [9] * 10), others_of([0.3] * 500)).summary()
    assert "99% cannot be reached, since only 80.0%" in text and "extrapolated, since 500 other pictures are fewer" in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"t_cand": 0.5}', '{"embedding": "n", "t_cand": "x", "t_auto": null}'])
def test_a_file_that_holds_no_thresholds_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(InputError, match="thresholds.json holds no thresholds"):
        read_thresholds(tmp_path / "thresholds.json")
