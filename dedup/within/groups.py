"""Duplicates inside a pool: groups of pictures that copy one another, and the one of each that stays.

Several sources propose pairs, which are checked like copies of evaluation pictures. Pictures that look alike as a whole
come first, so that only the best of them is searched for by its details.

What a million pictures cost, beyond describing each once, and those in confirmed pairs twice more:

    hash      0.3 GB of memory in every worker; 2 ms a picture, more in proportion to the pool
    sift      9 GB of files for the local features, 4 GB for their indexes; 2.2 GB of memory in a worker that builds one
              (100 000 pictures), 0.4 GB in one that searches; about 2 ms for every picture and index searched, and a
              picture meets half of the indexes: at ten million pictures 0.1 s
    feature   4 GB of files per 1000 numbers of an embedding; 80 MB of memory in every worker; 1.4 ms a picture, measured
              with 200 000 pictures of 512 numbers

So pools far beyond a million do better with the sources ("hash", "feature").
"""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple, Optional, Union

import numpy as np

from .. import geometry
from ..errors import InputError
from ..match import Match
from ..network.embedding import Embed
from ..options import Options
from ..paths import Paths
from . import neighbours, pairs, settle
from .components import components
from .survey import Ranks, rank_pictures, survey_part
from .work import GroupOptions, StageProgress, Work, open_work, run_parts

_PAIRS_PER_PART = 1000
_CLUSTER = 256              # pictures whose pairs are checked together, so that each is described once


class Duplicates(NamedTuple):
    """What was found inside a pool.

    Args:
        matches: one for every picture that goes, by its path; `reference` is the picture that stays in its place and
            `reason` is "pool-duplicate".
        images: pictures looked at.
        unreadable: pictures of them that could not be read; they are nobody's duplicates.
        sources: what proposed pairs, "sha256" first.
        pairs: number of pairs each source proposed, of "different" ones among them, and of those "confirmed" on the way.
    """

    matches: list
    images: int
    unreadable: int
    sources: tuple
    pairs: dict


def find_duplicates(paths: Union[Paths, Sequence[str]], root, folder, options: Optional[Options] = None,
                    group_options: Optional[GroupOptions] = None, executor: Optional[Executor] = None,
                    embed: Optional[Embed] = None, progress: Optional[StageProgress] = None,
                    preferred: Optional[np.ndarray] = None) -> Duplicates:
    """Find the pictures of a pool that duplicate a better one of the same pool.

    Of a group stays the preferred picture, then the one with most pixels, then with most bytes, then the smallest path.
    The result depends neither on the order of `paths` nor on who does the work. A search that was interrupted goes on
    where it stopped when it is called again.

    Args:
        paths: the pictures, relative to `root`, each once.
        root: their folder.
        folder: for the plan and the results of all parts; one search per folder.
        options: what makes two pictures copies.
        group_options: which pairs are looked at.
        executor: does the parts; its workers must see `root` and `folder`. None: this process does.
        embed: files -> float array [n, D] of a network, for the source "feature"; it must pickle for processes.
        progress: called after every part with the stage, the parts done and all parts.
        preferred: bool [N], beside `paths`: pictures that stay rather than others, such as those known to be clean.

    Raises:
        InputError: a path twice, "feature" without `embed` or the reverse, or `folder` holds another search.
    """
    options, group_options = options or Options(), group_options or GroupOptions()
    if ("feature" in group_options.sources) != (embed is not None):
        raise InputError(f"the sources of pairs are {', '.join(group_options.sources)} and the embed function is {embed!r}: "
                         "give both, \"feature\" and the function, or neither.")
    names, preferred = _in_order(Paths.of(paths), preferred)
    work = open_work(folder, root, names, preferred, options, group_options)
    run_parts(work, "survey", survey_part, [(embed,)] * work.parts, executor, progress)
    ranks = rank_pictures(work, preferred)
    found = _propose_alike(work, executor, progress)
    alike = _check(work, "alike", _each_once(found), executor, progress)
    _leave_aside(work, ranks.rank, alike)
    edited = _propose_edited(work, executor, progress)
    edges = np.concatenate([alike, _check(work, "edited", _each_once(edited), executor, progress)])
    found.update(edited)
    proposed = _each_once(found)
    counts = {**{source: len(pair) for source, pair in found.items()}, "different": len(proposed), "confirmed": len(edges)}
    rows = _resolve(work, proposed, edges, executor, progress)
    return Duplicates(_matches(work, ranks, rows), len(names), int((ranks.original < 0).sum()),
                      ("sha256", *group_options.sources), counts)


def _in_order(paths: Paths, preferred: Optional[np.ndarray]) -> tuple[Paths, np.ndarray]:
    """The paths in the order of their bytes, and the mask beside them."""
    once = paths.first_occurrences()
    if not once.all():
        raise InputError(f"the path {paths[int(once.argmin())]!r} comes twice. Name every picture once; `open_source` sees "
                         "to that.")
    preferred = np.zeros(len(paths), bool) if preferred is None else np.asarray(preferred, bool)
    if preferred.shape != (len(paths),):
        raise InputError(f"preferred must be one bool per path, {len(paths)} of them; its shape is {preferred.shape}.")
    order = paths.argsort()
    return paths.take(order), preferred[order]


def _propose_alike(work: Work, executor, progress) -> dict:
    """Pairs of pictures that look alike as a whole, by source."""
    stages = {"flat": run_parts(work, "flat", pairs.flat_part, [()], executor, progress)}
    if "hash" in work.group_options.sources:
        stages["hash"] = run_parts(work, "hash", pairs.hash_part, [()] * work.parts, executor, progress)
    return {stage: _strongest(work, stage, parts, work.group_options.near) for stage, parts in stages.items()}


def _propose_edited(work: Work, executor, progress) -> dict:
    """Pairs of active pictures that share details or meaning, by source."""
    found = {}
    if "sift" in work.group_options.sources:
        run_parts(work, "index", neighbours.index_block, [()] * neighbours.blocks(work), executor, progress)
        tasks = [(block, part) for block in range(neighbours.blocks(work))
                 for part in range(neighbours.block_parts(work, block).start, work.parts)]
        parts = run_parts(work, "sift", neighbours.sift_part, tasks, executor, progress)
        found["sift"] = _strongest(work, "sift", parts, work.group_options.candidates)
    if "feature" in work.group_options.sources:
        run_parts(work, "embeddings", neighbours.index_embeddings, [()], executor, progress)
        parts = run_parts(work, "feature", neighbours.feature_part, [()] * work.parts, executor, progress)
        found["feature"] = _strongest(work, "feature", parts, work.group_options.near)
    return found


def _strongest(work: Work, stage: str, parts: int, limit: int) -> np.ndarray:
    """The `limit` strongest pairs of every picture over all parts of a stage, int64 [n, 2], the strongest first."""
    a, b, strength = (np.concatenate(c) for c in zip(*(work.read(stage, part, "a", "b", "strength")
                                                       for part in range(parts))))
    order = np.lexsort((b, -strength, a))
    a, b, strength = a[order], b[order], strength[order]
    keep = np.flatnonzero(np.arange(len(a)) - np.searchsorted(a, a) < limit)
    keep = keep[np.argsort(-strength[keep], kind="stable")]
    return np.column_stack([a, b])[keep]


def _each_once(found: dict) -> np.ndarray:
    """Pairs (a, b), a < b, of all sources, int64 [n, 2]; earlier ones stay first."""
    pair = np.sort(np.concatenate([np.zeros((0, 2), np.int64), *found.values()]), axis=1)
    return pair[np.sort(np.unique(pair, axis=0, return_index=True)[1])]


def _leave_aside(work: Work, rank: np.ndarray, alike: np.ndarray) -> None:
    """Write which pictures are still active: those with no better one among their confirmed likes.

    Copies that look the same as a whole would take one another's votes, and fill the index.
    """
    active = rank >= 0
    best: dict = {}
    group = components(alike)
    for row in sorted(group, key=rank.__getitem__):
        active[row] = best.setdefault(group[row], row) == row
    work.write("active", active=active)


def _check(work: Work, stage: str, proposed: np.ndarray, executor, progress) -> np.ndarray:
    """The pairs that are duplicates and join what no other such pair has joined yet, int64 [n, 2]."""
    cluster = components(proposed, _CLUSTER)
    homes = np.fromiter((cluster[row] for row in proposed.ravel().tolist()), np.int64).reshape(-1, 2)
    order = np.lexsort((homes.max(axis=1), homes[:, 0] != homes[:, 1], homes.min(axis=1)))      # keeps the strongest first
    tasks = [(stage, proposed[order[s:s + _PAIRS_PER_PART]]) for s in range(0, len(order), _PAIRS_PER_PART)]
    parts = run_parts(work, stage, settle.check_part, tasks, executor, progress)
    found = [work.read(stage, part, "edges")[0] for part in range(parts)]
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _resolve(work: Work, proposed: np.ndarray, edges: np.ndarray, executor, progress) -> list[tuple]:
    """Columns of all pictures that go, as `settle.group_part` writes them."""
    group = components(edges)
    inside = np.fromiter((group.get(a, -1) for a in proposed[:, 0].tolist()), np.int64)
    others = np.fromiter((group.get(b, -2) for b in proposed[:, 1].tolist()), np.int64)
    inner, label = proposed[inside == others], inside[inside == others]
    inner, label = inner[np.argsort(label, kind="stable")], np.sort(label)
    starts = np.flatnonzero(np.diff(label)) + 1
    tasks = [(piece,) for piece in np.split(inner, starts[np.diff(starts // _PAIRS_PER_PART, prepend=0) > 0]) if len(piece)]
    parts = run_parts(work, "group", settle.group_part, tasks, executor, progress)
    return [work.read("group", part, "member", "representative", "inliers", "agreement", "hash_distance", "affine",
                      "mirrored") for part in range(parts)]


def _matches(work: Work, ranks: Ranks, parts: list) -> list[Match]:
    """The verdict on every picture that goes, copies of bytes included, by path."""
    names, verdict = work.names(), {}
    for columns in parts:
        for member, representative, inliers, agreement, distance, affine, mirrored in zip(*columns):
            verdict[int(member)] = Match(names[member], names[representative], "pool-duplicate", int(inliers),
                                         float(agreement), int(distance), None,
                                         None if np.isnan(affine).any() else affine, bool(mirrored))
    for row in np.flatnonzero((ranks.original >= 0) & (ranks.original != np.arange(work.images))).tolist():
        original = int(ranks.original[row])
        same = Match(names[row], names[original], "pool-duplicate", 0, 1.0, 0, None, geometry.IDENTITY, False)
        verdict[row] = verdict[original]._replace(query=names[row]) if original in verdict else same
    return [verdict[row] for row in sorted(verdict)]
