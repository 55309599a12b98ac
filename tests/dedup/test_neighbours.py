import numpy as np
import pytest

from dedup import neighbours
from dedup.options import Options
from dedup.paths import Paths
from dedup.sift import mirror
from dedup.work import GroupOptions, open_work

COUNT, KEYPOINTS = 120, 12


def surveyed(folder, options=None, active=None, **group_options):
    """A plan whose survey tells of random pictures: every fourth row is like the row before it, turned and enlarged."""
    random = np.random.default_rng(0)
    descriptors = random.gamma(0.5, 40, (COUNT, KEYPOINTS, 128)).clip(0, 255).astype(np.uint8)
    sizes = np.exp2(random.uniform(1, 4, (COUNT, KEYPOINTS))).astype(np.float32)
    angles = random.uniform(0, 360, (COUNT, KEYPOINTS)).astype(np.float32)
    embedding = random.normal(size=(COUNT, 100)).astype(np.float32)
    for row in range(3, COUNT, 4):
        descriptors[row] = descriptors[row - 1] if row % 8 == 3 else mirror(descriptors[row - 1])
        sizes[row] = 2 * sizes[row - 1]
        angles[row] = (angles[row - 1] + 30) % 360 if row % 8 == 3 else (180 - angles[row - 1]) % 360
        embedding[row] = 3 * embedding[row - 1] + random.normal(size=100)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    work = open_work(folder, "", Paths.of([f"{row:03d}.png" for row in range(COUNT)]), np.zeros(COUNT, bool),
                     options or Options(), GroupOptions(**group_options))
    work.write("active", active=np.ones(COUNT, bool) if active is None else active)
    for part in range(work.parts):
        rows = work.rows(part)
        work.write("survey", part, offsets=KEYPOINTS * np.arange(len(rows) + 1), sizes=sizes[rows].ravel(),
                   angles=angles[rows].ravel(), descriptors=descriptors[rows].reshape(-1, 128), embedding=embedding[rows])
    return work


def voted(work):
    """Pairs of all blocks and parts."""
    found = {}
    tasks = [(block, part) for block in range(neighbours.blocks(work))
             for part in range(neighbours.block_parts(work, block).start, work.parts)]
    for block in range(neighbours.blocks(work)):
        neighbours.index_block(work, block)
    for number, (block, part) in enumerate(tasks):
        neighbours.sift_part(work, number, block, part)
        found.update({(int(a), int(b)): s for a, b, s in zip(*work.read("sift", number, "a", "b", "strength"))})
    return found


PLANTED = {(row - 1, row) for row in range(3, COUNT, 4)}


@pytest.mark.parametrize("exact_below", [0, 20_000])
def test_pictures_that_share_details_are_paired_turned_or_mirrored(tmp_path, exact_below):
    found = voted(surveyed(tmp_path, Options(exact_below=exact_below), min_score=6))
    assert {tuple(sorted(pair)) for pair in found} == PLANTED
    assert all(a != b and score >= 6 for (a, b), score in found.items())


def test_every_pair_of_blocks_is_compared(tmp_path):
    work = surveyed(tmp_path, block=32, min_score=6)
    assert neighbours.blocks(work) == work.parts == 4
    assert {tuple(sorted(pair)) for pair in voted(work)} == PLANTED


def test_pictures_put_aside_take_no_part(tmp_path):
    active = np.arange(COUNT) % 8 != 3
    found = voted(surveyed(tmp_path, min_score=6, active=active))
    assert {tuple(sorted(pair)) for pair in found} == {pair for pair in PLANTED if active[pair[1]]}


def test_a_pool_without_key_points_has_no_pairs(tmp_path):
    work = surveyed(tmp_path)
    for part in range(work.parts):
        work.write("survey", part, offsets=np.zeros(len(work.rows(part)) + 1, np.int64), sizes=np.zeros(0, np.float32),
                   angles=np.zeros(0, np.float32), descriptors=np.zeros((0, 128), np.uint8))
    assert voted(work) == {}


def test_near_embeddings_are_paired_from_both_sides(tmp_path):
    work = surveyed(tmp_path, sources=("feature",))
    neighbours.index_embeddings(work, 0)
    found = {}
    for part in range(work.parts):
        neighbours.feature_part(work, part)
        found.update({(int(a), int(b)): s for a, b, s in zip(*work.read("feature", part, "a", "b", "strength"))})
    assert set(found) == PLANTED | {(b, a) for a, b in PLANTED}
    vectors = work.column("survey", "embedding").astype(np.float64)
    assert all(abs(cosine - vectors[a] @ vectors[b]) < 1e-5 for (a, b), cosine in found.items())


@pytest.mark.slow
def test_many_embeddings_are_compressed_and_still_found(tmp_path):
    random = np.random.default_rng(0)
    count = 1400
    vectors = random.normal(size=(count, 48)).astype(np.float32)
    vectors[count // 2:] = vectors[:count // 2] + random.normal(size=(count // 2, 48)) * 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    work = open_work(tmp_path, "", Paths.of(map("{:04d}".format, range(count))), np.zeros(count, bool), Options(t_cand=0.8),
                     GroupOptions(sources=("feature",), exact_below=1000))
    work.write("active", active=np.ones(count, bool))
    for part in range(work.parts):
        work.write("survey", part, embedding=vectors[work.rows(part)])
    neighbours.index_embeddings(work, 0)
    found = set()
    for part in range(work.parts):
        neighbours.feature_part(work, part)
        found |= {(int(a), int(b)) for a, b in zip(*work.read("feature", part, "a", "b"))}
    wanted = {(a, a + count // 2) for a in range(count // 2)}
    assert len(found & wanted) > 0.99 * len(wanted)
    assert all(abs(a - b) == count // 2 for a, b in found)
