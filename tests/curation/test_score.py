"""Scores do not depend on how the work was cut up or interrupted."""
import numpy as np
import paddle
import pytest

from ssld.curation.score import score
from ssld.data.dataset import ManifestDataset
from ssld.data.manifest import Manifest
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

OPS = ["DecodeImage", {"ResizeImage": {"size": 8}}, "NormalizeImage", "ToCHWImage"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory, make_list):
    return Manifest.read(make_list(tmp_path_factory.mktemp("pool"), "pool", 23, labelled=False))


@pytest.fixture
def teacher():
    paddle.seed(0)
    layer = paddle.nn.Linear(3 * 8 * 8, 6)
    return lambda image: layer(image.flatten(1)).detach()


def dataset(manifest, **options):
    return ManifestDataset(manifest, build_transforms(OPS, "test"), **options)


def columns(manifest):
    return {path: (c.tolist(), s.tolist()) for path, c, s in zip(manifest.path, *(manifest.columns[n] for n in
                                                                                 ("teacher_class", "score")))}


def test_scores_are_the_softmax_of_the_teacher(pool, teacher, tmp_path):
    scored, unreadable = score(dataset(pool), teacher, tmp_path, {}, top=6, batch_size=23)
    logits = teacher(paddle.to_tensor(np.stack([dataset(pool).transform(pool.file(r), None) for r in range(23)]))).numpy()
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    found = np.zeros_like(expected)
    np.put_along_axis(found, scored.columns["teacher_class"], scored.columns["score"].astype(np.float32), 1)
    np.testing.assert_allclose(found, expected, atol=5e-4)          # float16 has 11 bits
    assert (np.diff(scored.columns["score"].astype(np.float32), axis=1) <= 0).all() and not unreadable


def test_neither_shard_nor_batch_size_matters(pool, teacher, tmp_path):
    results = [columns(score(dataset(pool), teacher, tmp_path / str(n), {}, 2, batch, shard)[0])
               for n, (batch, shard) in enumerate([(5, 10_000), (64, 4), (1, 23)])]
    assert results[0] == results[1] == results[2]


def test_an_interrupted_run_computes_only_what_is_missing(pool, teacher, tmp_path):
    first = columns(score(dataset(pool), teacher, tmp_path, {}, shard_size=5)[0])
    (tmp_path / "part-00002.npz").unlink()
    asked = []

    def counting(image):
        asked.append(len(image))
        return teacher(image)

    assert columns(score(dataset(pool), counting, tmp_path, {}, shard_size=5)[0]) == first
    assert sum(asked) == 5


def test_scores_of_another_teacher_are_refused_by_name(pool, teacher, tmp_path):
    score(dataset(pool), teacher, tmp_path, {"weights": "a"})
    with pytest.raises(InputError, match="weights was 'a', now it is 'b'"):
        score(dataset(pool), teacher, tmp_path, {"weights": "b"})


def test_a_damaged_part_is_named(pool, teacher, tmp_path):
    score(dataset(pool), teacher, tmp_path, {})
    (tmp_path / "part-00000.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="part-00000.npz cannot be read"):
        score(dataset(pool), teacher, tmp_path, {})


def test_unreadable_images_are_left_out_and_named(tmp_path, make_list, teacher):
    pool = Manifest.read(make_list(tmp_path, "pool", 9, labelled=False))
    pool.file(4).write_bytes(b"no picture")
    scored, unreadable = score(dataset(pool, max_bad_fraction=0.2), teacher, tmp_path / "scores", {}, shard_size=3)
    assert list(unreadable) == ["pool/4.jpg"]
    assert list(scored.path) == [p for p in pool.path if p != "pool/4.jpg"]


def test_too_many_unreadable_images_are_an_error(tmp_path, make_list, teacher):
    pool = Manifest.read(make_list(tmp_path, "pool", 9, labelled=False))
    pool.file(4).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1 of 9 images cannot be read, more than max_bad_fraction 0\.1"):
        score(dataset(pool, max_bad_fraction=0.1), teacher, tmp_path / "scores", {})


def test_a_pool_of_which_nothing_is_left_is_a_clear_error(pool, teacher, tmp_path):
    with pytest.raises(InputError, match="left to score"):
        score(dataset(pool.take([])), teacher, tmp_path, {})


def test_answers_that_are_not_finite_are_refused(pool, tmp_path):
    with pytest.raises(InputError, match="not finite"):
        score(dataset(pool), lambda image: paddle.full([len(image), 6], float("nan")), tmp_path, {})
