"""Which proposed pairs are duplicates, and which picture of a group stays.

Chains of checked pairs only propose a group: A copies B and B copies C, but the ends may have nothing in common. So
every member is checked against the group's representative; those that fail form groups among themselves.
"""
from __future__ import annotations

from typing import Optional

import numpy as np

from .. import geometry
from ..threads import one_thread
from .compare import Duplicate, Pictures
from .components import Components, split_by_component
from .survey import ranks_of
from .work import Work


def check_part(work: Work, part: int, stage: str, proposed: np.ndarray) -> None:
    """Check pairs int64 [n, 2] one after the other, except those whose ends are joined by then."""
    pictures, rank, joined, edges = Pictures(work), ranks_of(work), Components(), []
    with one_thread():
        for a, b in proposed.tolist():
            query, reference = (a, b) if rank[a] > rank[b] else (b, a)
            if joined.find(a) != joined.find(b) and pictures.compare(query, reference) is not None:
                joined.join(a, b)
                edges.append((a, b))
    work.write(stage, part, edges=np.array(edges, np.int64).reshape(-1, 2))


def group_part(work: Work, part: int, proposed: np.ndarray) -> None:
    """Settle who stays among pictures that `proposed` pairs int64 [n, 2] connect, and write one row per picture that goes.

    The best picture is checked against each of the others. What fails is connected anew, by the pairs left over, and
    settled in the same way.
    """
    pictures, rank, found = Pictures(work), ranks_of(work), []
    waiting = split_by_component(proposed)
    with one_thread():
        while waiting:
            links = waiting.pop()
            representative, *members = sorted(set(links.ravel().tolist()), key=rank.__getitem__)
            duplicates = _duplicates_of(representative, members, links, pictures)
            found += [(member, representative, duplicate) for member, duplicate in duplicates.items()]
            failed = [member for member in members if member not in duplicates]
            waiting += split_by_component(links[np.isin(links, failed).all(axis=1)])
    found.sort(key=lambda row: row[0])
    nowhere = np.full((2, 3), np.nan)
    work.write("group", part, member=np.array([f[0] for f in found], np.int64),
               representative=np.array([f[1] for f in found], np.int64),
               inliers=np.array([f[2].inliers for f in found], np.int64),
               agreement=np.array([f[2].agreement for f in found], np.float64),
               hash_distance=np.array([f[2].hash_distance for f in found], np.int64),
               affine=np.array([nowhere if f[2].affine is None else f[2].affine for f in found]).reshape(-1, 2, 3),
               mirrored=np.array([f[2].mirrored for f in found], bool))


def _duplicates_of(representative: int, members: list[int], links: np.ndarray, pictures: Pictures) -> dict:
    """Member -> why it is a duplicate of the representative.

    A member that fails is led to its place by those that passed: the map to a linked one, followed by that one's map to
    the representative, tells where key points should match. The decision itself remains between the two.
    """
    passed = {m: d for m in members if (d := pictures.compare(m, representative)) is not None}
    linked: dict = {}
    for a, b in links.tolist():
        linked.setdefault(a, []).append(b)
        linked.setdefault(b, []).append(a)
    guides = [member for member in members if member in passed]
    for guide in guides:            # grows while it is read: whoever is led may lead
        for member in linked[guide]:
            if member not in passed and member != representative and passed[guide].affine is not None:
                duplicate = _led(member, guide, representative, passed[guide], pictures)
                if duplicate is not None:
                    passed[member] = duplicate
                    guides.append(member)
    return passed


def _led(member: int, guide: int, representative: int, known: Duplicate, pictures: Pictures) -> Optional[Duplicate]:
    step = pictures.compare(member, guide)
    if step is None or step.affine is None:
        return None
    return pictures.compare_along(member, representative, geometry.compose(known.affine, step.affine))
