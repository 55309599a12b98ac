import itertools

import numpy as np
import pytest

from dedup.options import Options
from dedup.paths import Paths
from dedup.within import pairs
from dedup.within.work import GroupOptions, open_work

COUNT = 150


def surveyed(folder, near=1000, **columns):
    """A plan whose survey says what `columns` say; every picture takes part, the best ones first."""
    work = open_work(folder, "", Paths.of([f"{row:03d}.png" for row in range(COUNT)]), np.zeros(COUNT, bool), Options(),
                     GroupOptions(near=near))
    columns = {"quality": np.full(COUNT, 80), "colour": np.full((COUNT, 3), np.nan),
               "hashes": np.zeros((COUNT, 8, 32), np.uint8), "rank": np.arange(COUNT), **columns}
    work.write("rank", rank=columns.pop("rank"))
    for part in range(work.parts):
        work.write("survey", part, **{name: column[work.rows(part)] for name, column in columns.items()})
    return work


def flipped(hash_, count, random):
    """A hash at a distance of `count` bits."""
    bits = np.unpackbits(hash_)
    bits[random.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits)


@pytest.fixture
def hashes():
    """Random hashes in eight orientations; some rows are near others, in their own or in another orientation."""
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (COUNT, 8, 32), dtype=np.uint8)
    for row in range(0, 60, 2):
        values[row + 1, row % 8] = flipped(values[row, 0], row + 1, random)
    values[70:76, 0] = values[69, 0]
    return values


def found_pairs(work, stage, part_function, parts):
    for part in range(parts):
        part_function(work, part)
    columns = [work.read(stage, part, "a", "b", "strength") for part in range(parts)]
    return {(int(a), int(b)): float(s) for part in columns for a, b, s in zip(*part)}


def least_distances(hashes):
    """Hamming distance of every pair (a, b): the least over the orientations of a."""
    bits = np.unpackbits(hashes, axis=2).astype(np.float32) * 2 - 1
    return ((256 - np.einsum("akx,bx->abk", bits, bits[:, 0])) / 2).min(axis=2).round().astype(int)


def test_pairs_within_15_bits_are_all_found_and_none_beyond_the_radius(tmp_path, hashes):
    work = surveyed(tmp_path, hashes=hashes)
    assert work.parts > 1
    found = found_pairs(work, "hash", pairs.hash_part, work.parts)
    distance = least_distances(hashes)
    stars = {(row, 69) for row in range(70, 76)}
    certain, allowed = ({(a, b) for a, b in itertools.permutations(range(COUNT), 2) if distance[a, b] <= radius
                         and not {a, b} & set(range(70, 76))} for radius in (15, 31))
    assert len(certain) > 5 and certain | stars <= set(found) <= allowed | stars
    assert all(strength == 256 - distance[pair] for pair, strength in found.items())


def test_the_nearest_are_kept_when_there_are_many(tmp_path, hashes):
    random = np.random.default_rng(1)
    hashes[100:110, 0] = [flipped(hashes[99, 0], 2 * n + 1, random) for n in range(10)]
    found = found_pairs(surveyed(tmp_path, near=3, hashes=hashes), "hash", pairs.hash_part, 5)
    assert sorted(b for a, b in found if a == 99) == [100, 101, 102]


def test_hashes_of_low_quality_and_pictures_that_take_no_part_propose_nothing(tmp_path, hashes):
    quality, rank = np.full(COUNT, 80), np.arange(COUNT)
    quality[1::4], rank[3::4] = 49, -1
    found = found_pairs(surveyed(tmp_path, hashes=hashes, quality=quality, rank=rank), "hash", pairs.hash_part, 5)
    assert found and not {row % 4 for pair in found for row in pair} & {1, 3}


def test_flat_pictures_of_one_colour_are_paired_whatever_their_number(tmp_path):
    random = np.random.default_rng(2)
    colour = random.integers(0, 2, (COUNT, 3)) * 100 + random.uniform(0, 0.5, (COUNT, 3))
    found = found_pairs(surveyed(tmp_path, colour=colour), "flat", pairs.flat_part, 1)
    tone = (colour > 50) @ (1, 2, 4)
    best = {t: int(np.flatnonzero(tone == t)[0]) for t in range(8)}
    assert {(row, best[tone[row]]) for row in range(COUNT)} - {(b, b) for b in best.values()} == set(found)


def test_flat_pictures_need_near_hashes_and_near_colours(tmp_path):
    random = np.random.default_rng(3)
    hashes, colour = np.zeros((COUNT, 8, 32), np.uint8), np.full((COUNT, 3), np.nan)
    colour[:5] = [[10, 10, 10], [11.9, 10, 8.1], [10, 10, 10], [10, 10, 10], [10, 10, 14.1]]
    hashes[2, 0], hashes[3, 0] = flipped(hashes[0, 0], 8, random), flipped(hashes[0, 0], 9, random)
    hashes[2, 1:], hashes[3, 1:] = 255, 255
    found = found_pairs(surveyed(tmp_path, hashes=hashes, colour=colour), "flat", pairs.flat_part, 1)
    assert {tuple(sorted(pair)) for pair in found} >= {(0, 1), (0, 2)}
    assert not {tuple(sorted(pair)) for pair in found} & {(0, 3), (0, 4), (2, 4)}
