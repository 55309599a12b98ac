"""The folder of an exported student: its card, its files and its multipliers."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from ..errors import InputError
from ..export.card import Card, read_card

TRANSFER = "transfer.yaml"


class Student(NamedTuple):
    """An exported student: its folder, its card, the text of transfer.yaml, and the multipliers in it."""

    folder: Path
    card: Card
    transfer: str
    multipliers: list[float]


def read_student(folder: str | Path) -> Student:
    """The student in a folder of `ssld export`.

    Raises:
        InputError: a file is missing, altered or cannot be read.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        transfer = (folder / TRANSFER).read_text(encoding="utf-8")
        student = ((yaml.safe_load(transfer) or {}).get("Arch") or {}).get("student") or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{folder} is no exported student: {error}. Give the folder of `ssld export`.") from error
    return Student(folder, card, transfer, student.get("lr_mult_list", []))
