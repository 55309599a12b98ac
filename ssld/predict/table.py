"""Predictions as a CSV or JSON file that appears when it is whole; until then its rows stand in a neighbour."""
from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dedup.files import sync_folder

from ..checks import one_of
from ..errors import InputError

HEADER = ("image", "rank", "class", "name", "probability")
_SUFFIXES = (".csv", ".json")


class Guess(NamedTuple):
    """A class: its number, its name ("" where none is known), its probability in [0, 1]."""

    number: int
    name: str
    probability: float

    def __str__(self) -> str:
        return f"{self.name or f'class {self.number}'} {100 * self.probability:.2f} %"


class Prediction(NamedTuple):
    """The likeliest classes of an image, the first one first."""

    image: str
    guesses: tuple[Guess, ...]

    def __str__(self) -> str:
        return f"{self.image}: {', '.join(map(str, self.guesses))}"


class Table:
    """Rows that go to `file.partial` batch by batch, on disk before the next batch; `finish` makes `file` of it.

    A CSV file has a line for each image and rank; a JSON file is a list with an entry for each image.

    Args:
        file: ending in .csv or .json.

    Raises:
        InputError: another ending, or it cannot be written.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        one_of("the ending of --out", self.file.suffix, _SUFFIXES)
        self.partial = self.file.with_name(f"{self.file.name}.partial")
        self._is_csv, self._rows = self.file.suffix == ".csv", 0
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._write(_line(HEADER) if self._is_csv else "[", "w")

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Append the rows of a batch."""
        self._write("".join(map(self._text, predictions)))

    def finish(self) -> Path:
        """Make the file of what was added; returns it."""
        self._write("" if self._is_csv else "\n]\n")
        os.replace(self.partial, self.file)
        sync_folder(self.file.parent)
        return self.file

    def _text(self, prediction: Prediction) -> str:
        if self._is_csv:
            return "".join(_line((prediction.image, rank, *guess)) for rank, guess in enumerate(prediction.guesses, 1))
        self._rows += 1
        top = [{"class": guess.number, "name": guess.name, "probability": guess.probability} for guess in prediction.guesses]
        return f"{',' if self._rows > 1 else ''}\n {json.dumps({'image': prediction.image, 'top': top})}"

    def _write(self, text: str, mode: str = "a") -> None:
        try:
            with open(self.partial, mode, encoding="utf-8", newline="\n") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise InputError(f"{self.partial} could not be written: {error.strerror or error}. Free some space or choose "
                             "another place.") from error


def _line(fields: Sequence) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()
