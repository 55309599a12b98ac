"""The names of the classes, from a file."""
from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError

_NUMBERED = re.compile(r"(\d+)\s+(\S.*)")


def read_class_names(file: str | Path, class_num: int) -> list[str]:
    """The name of each class.

    Args:
        file: one name per line in the order of the labels, or, as PaddleClas's class_id_map_file, "0 tench" in any order.
        class_num: how many there must be.

    Raises:
        InputError: the file cannot be read, or does not name each class once.
    """
    try:
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names in {file} cannot be read: {error}. Give a text file, one name per line.") from error
    if len(lines) != class_num:
        raise InputError(f"{file} names {len(lines)} classes, the student has {class_num}. Give one line for each class.")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if not all(numbered):
        return lines
    names = {int(match[1]): match[2] for match in numbered}
    if names.keys() != set(range(class_num)):
        lacking = sorted(set(range(class_num)) - names.keys())
        raise InputError(f"{file}: every line begins with a number, but class {lacking[0]} of 0 to {class_num - 1} has none. "
                         "Number the classes as the labels are.")
    return [names[label] for label in range(class_num)]
