"""Several students that learn from one teacher side by side: Arch.students, and what it means for each of them."""
from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from .config import Config, merge
from .errors import InputError

OWN_SECTIONS = ("Loss", "Optimizer", "EMA", "AMP")       # which a student may change for itself


def has_students(config: Config) -> bool:
    """Whether the config names several students."""
    return "students" in config.section("Arch")


def students_of(config: Config) -> dict[str, Config]:
    """The run of each student by name, as if it were alone: {"": config} where the config has one student.

    An entry of Arch.students holds the keys of Arch.student, and besides
        run         the name of its folder in Global.output_dir; default: the network's name
        Loss, Optimizer, EMA, AMP     settings that differ from the config's own sections, merged over them

    Raises:
        InputError: Arch.student beside Arch.students, no entry, one that is no mapping, or two of one name.
    """
    if not has_students(config):
        return {"": config}
    arch, where = config.section("Arch"), config.where("Arch", "students")
    entries = arch.pop("students")
    if "student" in arch:
        raise InputError(f"{config.where('Arch')} has both 'student' and 'students'. Keep one: students is a list, each with "
                         "the keys of student.")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where} must be a list with an entry for each student, such as [{{run: kd, name: ResNet18, "
                         f"class_num: 1000, Loss: {{Train: [...]}}}}], not {entries!r}.")
    runs: dict[str, Config] = {}
    for place, entry in enumerate(entries):
        name, alone = _alone(config, arch, entry, config.where("Arch", "students", place))
        if name in runs:
            raise InputError(f"{where}: two students are called '{name}', and would write into the same folder. Give each its "
                             "own 'run'.")
        runs[name] = alone
    return runs


def one_student(config: Config) -> None:
    """Refuse a config of several students where only one is meant.

    Raises:
        InputError: naming the config files of the students.
    """
    if has_students(config):
        folders = [alone.section("Global")["output_dir"] for alone in students_of(config).values()]
        raise InputError(f"{config.where('Arch', 'students')} names several students; this is done with one. Give the config "
                         f"that its training has written: {', '.join(str(Path(f) / 'config.yaml') for f in folders)}.")


def _alone(config: Config, arch: Mapping, entry, where: str) -> tuple[str, Config]:
    """Name and config of one student."""
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: expected the keys of a student, such as {{name: ResNet18, class_num: 1000}}, found "
                         f"{entry!r}.")
    entry = deepcopy(dict(entry))
    own = {section: entry.pop(section) for section in OWN_SECTIONS if section in entry}
    name = entry.pop("run", entry.get("name"))
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{where}: run is the name of a folder, of letters, digits, '.', '-' and '_', not {name!r}.")
    for section, value in own.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{where}.{section} must hold 'key: value' settings, not {value!r}.")
    output = config.section("Global").get("output_dir")
    if not output:
        raise InputError(f"{config.where('Global')} needs output_dir, in which each student gets a folder.")
    data = merge(config.data, {"Global": {"output_dir": str(Path(output) / name)}, **own})
    return name, Config({**data, "Arch": {"student": entry, **deepcopy(dict(arch))}}, config.file)
