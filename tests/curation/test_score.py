"""Scores do not depend on how the work was cut up, handed out or interrupted."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import pytest

from ssld.curation.columns import ABSENT
from ssld.curation.score import Scorer, score
from ssld.data.manifest import Manifest
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

OPS = ["DecodeImage", {"ResizeImage": {"size": 8}}, "NormalizeImage", "ToCHWImage"]
CLASSES, FEATURES = 6, 5


@pytest.fixture(scope="module")
def pool(tmp_path_factory, make_list):
    return Manifest.read(make_list(tmp_path_factory.mktemp("pool"), "pool", 23, labelled=False))


@pytest.fixture(scope="module")
def teacher():
    paddle.seed(0)
    layer = paddle.nn.Linear(3 * 8 * 8, CLASSES)
    return lambda image: layer(image.flatten(1)).detach()


@pytest.fixture
def scored(pool, teacher):
    """Scores `pool`, all rows unless told, with the softmax teacher unless another is given."""
    def run(out, manifest=pool, wanted=None, answer=teacher, class_num=CLASSES, plan=None, **options):
        wanted = np.ones(len(manifest), bool) if wanted is None else wanted
        scorer = Scorer(build_transforms(OPS, "test"), answer, class_num)
        return score(manifest, wanted, lambda: scorer, out, plan or {}, **options)
    return run


def table(scores):
    return {name: column.tolist() for name, column in scores.columns.items()}


def counting(teacher, asked):
    def answer(image):
        asked.append(len(image))
        return teacher(image)
    return answer


def test_scores_are_the_softmax_of_the_teacher(pool, teacher, scored, tmp_path):
    scores = scored(tmp_path, top=6, batch_size=23)
    transform = build_transforms(OPS, "test")
    logits = teacher(paddle.to_tensor(np.stack([transform(pool.file(r), None) for r in range(23)]))).numpy()
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    found = np.zeros_like(expected)
    np.put_along_axis(found, scores.columns["teacher_class"], scores.columns["score"].astype(np.float32), 1)
    np.testing.assert_allclose(found, expected, atol=5e-4)          # float16 has 11 bits
    assert (np.diff(scores.columns["score"].astype(np.float32), axis=1) <= 0).all() and not len(scores.unreadable)


def test_shard_size_and_executor_do_not_matter(scored, tmp_path):
    with ThreadPoolExecutor(2) as executor:
        results = [table(scored(tmp_path / str(n), top=2, **options)) for n, options in enumerate([
            {}, {"shard_size": 4}, {"shard_size": 23}, {"shard_size": 5, "executor": executor}])]
    assert all(result == results[0] for result in results)


def test_every_forward_pass_sees_a_whole_batch(teacher, scored, tmp_path):
    asked = []
    scored(tmp_path, answer=counting(teacher, asked), batch_size=5, shard_size=9)
    assert set(asked) == {5}


def test_an_interrupted_run_computes_only_what_is_missing(teacher, scored, tmp_path):
    first = table(scored(tmp_path, shard_size=5, batch_size=5))
    (tmp_path / "part-00002.npz").unlink()
    asked = []
    assert table(scored(tmp_path, answer=counting(teacher, asked), shard_size=5, batch_size=5)) == first
    assert sum(asked) == 5


def test_rows_that_are_not_wanted_are_absent(scored, tmp_path):
    wanted = np.arange(23) % 3 > 0
    classes = scored(tmp_path, wanted=wanted, top=2).columns["teacher_class"]
    assert ((classes == ABSENT).all(1) == ~wanted).all()


def test_rows_that_are_wanted_later_are_scored_later_and_alone(teacher, scored, tmp_path):
    whole = table(scored(tmp_path / "whole", shard_size=8, batch_size=4))
    wanted, asked = np.ones(23, bool), []
    wanted[[3, 9]] = False
    scored(tmp_path / "parts", wanted=wanted, shard_size=8, batch_size=4)
    assert table(scored(tmp_path / "parts", answer=counting(teacher, asked), shard_size=8, batch_size=4)) == whole
    assert len(asked) == 2


def test_outputs_beyond_the_classes_are_kept_as_features(teacher, scored, tmp_path):
    def both(image):
        return paddle.concat([teacher(image), image.flatten(1)[:, :FEATURES]], axis=1)

    plain, with_features = scored(tmp_path / "a", top=2), scored(tmp_path / "b", answer=both, top=2, shard_size=7)
    assert "feature" not in plain.columns and with_features.columns["feature"].shape == (23, FEATURES)
    assert np.isfinite(with_features.columns["feature"]).all() and with_features.columns["feature"].any()
    assert all(table(plain)[name] == table(with_features)[name] for name in plain.columns)


def test_scores_of_another_teacher_are_refused_by_name(scored, tmp_path):
    scored(tmp_path, plan={"weights": "a"})
    with pytest.raises(InputError, match="weights was 'a', now it is 'b'"):
        scored(tmp_path, plan={"weights": "b"})


def test_a_damaged_part_is_named(scored, tmp_path):
    scored(tmp_path)
    (tmp_path / "part-00000.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="part-00000.npz cannot be read"):
        scored(tmp_path)


def test_a_full_disk_is_reported_before_the_columns_are_filled(scored, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssld.curation.columns.os.posix_fallocate", full)
    with pytest.raises(InputError, match="No space left.*what is scored is kept"):
        scored(tmp_path)
    monkeypatch.undo()
    assert len(scored(tmp_path).columns["score"]) == 23


def test_unreadable_images_are_left_out_and_named(tmp_path, make_list, scored):
    pool = Manifest.read(make_list(tmp_path, "pool", 9, labelled=False))
    for row in (4, 8):
        pool.file(row).write_bytes(b"no picture")
    scores = scored(tmp_path / "scores", pool, shard_size=4, max_bad_fraction=0.3)
    assert scores.unreadable.tolist() == [4, 8]
    assert np.flatnonzero((scores.columns["teacher_class"] == ABSENT).all(1)).tolist() == [4, 8]


def test_too_many_unreadable_images_are_an_error(tmp_path, make_list, scored):
    pool = Manifest.read(make_list(tmp_path, "pool", 9, labelled=False))
    pool.file(4).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1 of 9 images cannot be read, more than max_bad_fraction 0\.1"):
        scored(tmp_path / "scores", pool, max_bad_fraction=0.1)


def test_a_pool_of_which_nothing_is_left_is_a_clear_error(scored, tmp_path):
    with pytest.raises(InputError, match="left to score"):
        scored(tmp_path, wanted=np.zeros(23, bool))


def test_answers_that_are_not_finite_are_refused(scored, tmp_path):
    with pytest.raises(InputError, match="not finite"):
        scored(tmp_path, answer=lambda image: paddle.full([len(image), 6], float("nan")))
