"""The folder of an exported student: its card, its files and its multipliers."""
from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import yaml

from ..errors import InputError

CARD, TRANSFER = "card.json", "transfer.yaml"


class Student(NamedTuple):
    """An exported student: its folder, the card as written, the text of transfer.yaml, and the multipliers in it."""

    folder: Path
    card: dict
    transfer: str
    multipliers: list[float]


def read_student(folder: str | Path) -> Student:
    """The student in a folder of `ssld export`.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        transfer = (folder / TRANSFER).read_text(encoding="utf-8")
        student = ((yaml.safe_load(transfer) or {}).get("Arch") or {}).get("student") or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{folder} is no exported student: {error}. Give the folder of `ssld export`.") from error
    missing = [name for name in card["sha256"] if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder / missing[0]} is missing, though {CARD} names it. Export the student again.")
    return Student(folder, card, transfer, student.get("lr_mult_list", []))
