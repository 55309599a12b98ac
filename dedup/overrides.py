"""What a person decided about pictures of the pool, whatever the comparison says: a table of keep and remove."""
from __future__ import annotations

from typing import NamedTuple

from .errors import InputError
from .match import write_table

COLUMNS = ("decision", "path")
KEEP, REMOVE = "keep", "remove"
_REMEDY = "Mend the line, or save the file again from the page where the decisions were made"


class Overrides(NamedTuple):
    """Paths of the pool, as its list writes them, that are to be kept and that are to be removed."""

    keep: frozenset[str]
    remove: frozenset[str]

    def decisions(self) -> list[tuple[str, str]]:
        """(decision, path), ordered by path."""
        both = [(KEEP, path) for path in self.keep] + [(REMOVE, path) for path in self.remove]
        return sorted(both, key=lambda row: row[1])


def read_overrides(file) -> Overrides:
    """The decisions in a file of tab-separated lines "keep|remove, path" under the line "decision, path".

    Args:
        file: UTF-8 text; a byte order mark, "\\r\\n" and empty lines do no harm.

    Raises:
        InputError: unreadable, another header, no decision, an unknown one, a line without path, or two different ones
            about the same path.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="\n") as text:
            lines = [line.rstrip("\r") for line in text.read().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as a file of overrides: {error}. Expected UTF-8 text that begins with "
                         "the line 'decision<TAB>path'.") from error
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise InputError(f"{file}:1: expected the header 'decision<TAB>path', got {lines[0][:80]!r}. {_REMEDY}.")
    decided: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line:
            decision, path = _cells(line, f"{file}:{number}")
            if decided.setdefault(path, decision) != decision:
                raise InputError(f"{file}:{number}: {path!r} is to be {decision!r} here and {decided[path]!r} in an earlier "
                                 "line. Leave one of the two.")
    if not decided:
        raise InputError(f"{file} holds no decision below its header. Leave the file out if nothing is to be overridden.")
    return Overrides(*(frozenset(p for p, d in decided.items() if d == wanted) for wanted in (KEEP, REMOVE)))


def write_overrides(file, overrides: Overrides) -> None:
    """Write decisions as `read_overrides` reads them, atomically and in the order of their paths."""
    write_table(file, COLUMNS, overrides.decisions())


def _cells(line: str, where: str) -> tuple[str, str]:
    cells = line.split("\t")
    if len(cells) != 2 or not cells[1]:
        raise InputError(f"{where}: expected 'keep<TAB>path' or 'remove<TAB>path', got {line[:120]!r}. {_REMEDY}.")
    if cells[0] not in (KEEP, REMOVE):
        raise InputError(f"{where}: the decision must be 'keep' or 'remove', got {cells[0]!r}. {_REMEDY}.")
    return cells[0], cells[1]
