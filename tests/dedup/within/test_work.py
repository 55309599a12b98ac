import numpy as np
import pytest

from dedup.errors import InputError
from dedup.options import Options
from dedup.paths import Paths
from dedup.within.work import GroupOptions, open_work, run_parts


@pytest.fixture
def work(tmp_path):
    """A plan over 70 pictures."""
    names = Paths.of([f"{row}.png" for row in range(70)])
    return open_work(tmp_path / "work", "root", names, np.zeros(70, bool), Options(), GroupOptions())


def mark(work, part, value):
    work.write("stage", part, value=np.array([value]))


def test_a_pool_is_cut_into_parts(work):
    assert [list(work.rows(part))[::31] for part in range(work.parts)] == [[0, 31], [32, 63], [64]]
    assert work.picture_file(69) == "root/69.png"


def test_only_missing_parts_are_done_and_all_are_reported(work):
    mark(work, 1, 5)
    seen = []
    assert run_parts(work, "stage", mark, [(7,), (8,), (9,)], None, lambda *stage: seen.append(stage)) == 3
    assert work.column("stage", "value").tolist() == [7, 5, 9]
    assert seen == [("stage", 2, 3), ("stage", 3, 3)]


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"", lambda data: data[:190] + b"x" + data[191:],
                                    lambda data: b"\x80\x04K\x01."])
def test_a_damaged_part_is_refused_by_name(work, damage):
    mark(work, 0, 1)
    file = work.file("stage", 0)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="stage-00000.npz cannot be read: .* Remove it"):
        work.read("stage", 0, "value")


def test_a_part_of_another_plan_is_refused_by_name(work, tmp_path):
    other = open_work(tmp_path / "other", "root", work.names(), np.ones(70, bool), Options(), GroupOptions())
    mark(other, 0, 1)
    work.file("stage").write_bytes(other.file("stage").read_bytes())
    with pytest.raises(InputError, match=f"stage-00000.npz belongs to the plan {other.fingerprint}"):
        work.read("stage", 0, "value")


def test_a_damaged_plan_is_refused(work, tmp_path):
    (tmp_path / "work" / "groups.json").write_text("{")
    with pytest.raises(InputError, match="groups.json cannot be read"):
        open_work(tmp_path / "work", "root", work.names(), np.zeros(70, bool), Options(), GroupOptions())


@pytest.mark.parametrize("options, message", [
    ({"sources": ("hash", "orb")}, "hash, sift, feature; got 'orb'"), ({"keypoints": 4}, "keypoints must be at least 8, got 4"),
    ({"near": 0}, "near"), ({"min_score": float("nan")}, "min_score"), ({"exact_below": 10}, "exact_below")])
def test_wrong_group_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        GroupOptions(**options)


def test_sources_may_be_a_list():
    assert GroupOptions(sources=["sift"]) == GroupOptions(sources=("sift",))
