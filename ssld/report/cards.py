"""Which pairs a person should look at, and in which order."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import NamedTuple

from dedup import Match
from dedup.overrides import KEEP, REMOVE, Overrides

from .comparison import Comparison, close, closest_kept, removed, uncertain_removals

BY_HAND, NARROW = "by hand", "kept by a narrow margin"
_OTHER = {KEEP: REMOVE, REMOVE: KEEP}


class Card(NamedTuple):
    """A decision to look at.

    Attributes:
        path: of the pool image.
        match: why it was removed or nearly so; None where a person decided.
        kind: reason of a removal, or NARROW, or BY_HAND.
        run: what the run decided: keep or remove.
        machine: what the comparison decides by itself.
    """

    path: str
    match: Match | None
    kind: str
    run: str
    machine: str


class Deck(NamedTuple):
    """The cards to show, how many images were removed and nearly removed in all (apart from what a person decided), and
    the earlier decisions of a person that are not shown, (decision, path)."""

    cards: list[Card]
    removed: int
    close: int
    unseen: list[tuple[str, str]]


def deal(comparison: Comparison, limit: int) -> Deck:
    """What a person decided earlier, then by turns the least certain removal and the closest pair that was kept.

    Args:
        comparison: a finished one.
        limit: cards at most; up to half of them show pairs that were kept.
    """
    by_hand = _decided_by_hand(comparison)
    shown = [Card(path, None, BY_HAND, decision, _OTHER[decision]) for decision, path in by_hand[:limit]]
    seen = {card.path for card in shown}
    room = limit - len(shown)
    kept = _first_of_each(closest_kept(comparison, room), seen)
    gone = uncertain_removals(comparison, room)
    kept = kept[:max(room // 2, room - len(gone))]
    turns = zip_longest((Card(m.query, m, m.reason, REMOVE, REMOVE) for m in gone[:room - len(kept)]),
                        (Card(m.query, m, NARROW, KEEP, KEEP) for m in kept))
    cards = [*shown, *(card for card in chain.from_iterable(turns) if card is not None)]
    total = comparison.manifest["counts"]["removed"] - sum(decision == REMOVE for decision, _ in by_hand)
    return Deck(cards, total, len({match.query for match in close(comparison)}), by_hand[limit:])


def _decided_by_hand(comparison: Comparison) -> list[tuple[str, str]]:
    """(decision, path) of what a person decided against the comparison, ordered by path."""
    gone = frozenset(match.query for match in removed(comparison) if match.reason == "override")
    return Overrides(comparison.overrides.keep, gone).decisions()


def _first_of_each(matches: Iterable[Match], seen: set[str]) -> list[Match]:
    """The first match of every pool image that is not in `seen`."""
    return list({match.query: match for match in reversed(list(matches)) if match.query not in seen}.values())[::-1]
