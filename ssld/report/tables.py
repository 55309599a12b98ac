"""The tables that curation leaves, read row by row: nothing of the size of the pool is held."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError


def table_rows(file: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The rows of a tab-separated table, one after the other.

    Raises:
        InputError: missing file, other columns, or a row with another number of cells.
    """
    try:
        with open(file, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            head = next(lines, "").rstrip("\n").split("\t")
            if head != list(columns):
                raise InputError(f"{file}:1: expected the columns {', '.join(columns)}, found {', '.join(head)}.")
            for number, line in enumerate(lines, 2):
                cells = line.rstrip("\n").split("\t")
                if len(cells) != len(columns):
                    raise InputError(f"{file}:{number}: expected {len(columns)} cells, found {len(cells)}: "
                                     f"{line[:80]!r}.")
                yield cells
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}. It is a part of a finished run.") from error


def read_json(file: Path) -> dict:
    """The content of a JSON file.

    Raises:
        InputError: it is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON: {error}. Was it edited? Make it again.") from error
