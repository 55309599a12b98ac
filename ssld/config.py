"""Reading a run's YAML: `_BASE_` files, `-o key=value` overrides, and errors that name the file."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from dedup.files import atomic_write

from . import paddleclas_config
from .errors import InputError
from .registry import nearest

_MERGE = "tag:yaml.org,2002:merge"              # the key "<<"


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: 7e-5 is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)?(?:\.\d*)?(?:\d|\.)[eE][-+]?\d+$"),
    list("-+0123456789."))


class Config:
    """One run's settings: nested mappings and lists, and the file that they came from.

    Nothing below `ssld.build` sees a Config; building objects does not modify it.

    Args:
        data: section name -> settings.
        file: for error messages, and to resolve nothing: paths in a config are relative to the working folder.
    """

    def __init__(self, data: Mapping, file: str | Path = "config"):
        self.data = dict(data)
        self.file = str(file)

    @classmethod
    def load(cls, file: str | Path, overrides: Sequence[str] = (), show_native: bool = True) -> Config:
        """Read `file` with its bases, then apply overrides such as "Optimizer.lr.learning_rate=0.1".

        A file of PaddleClas's form is translated first, and stderr says so; overrides change the translation.

        Args:
            file: the YAML file.
            overrides: "key=value" each.
            show_native: what stderr says about a translated file includes its translation.

        Raises:
            InputError: unreadable file or base, a cycle of bases, invalid YAML, or an override with nowhere to go.
        """
        data = read_with_bases(file)
        if paddleclas_config.is_old(data):
            translation = paddleclas_config.translate(data, str(file))
            for override in overrides:
                translation.check_override(override)
            paddleclas_config.announce(translation, show_native)
            data = translation.data
        config = cls(data, file)
        for override in overrides:
            config._override(override)
        return config

    def section(self, name: str) -> dict:
        """The settings of one section; {} when it is absent or null.

        Raises:
            InputError: the section is not a mapping.
        """
        value = self.data.get(name)
        if not isinstance(value, (Mapping, type(None))):
            raise InputError(f"{self.file}: {name} must hold 'key: value' settings, not {value!r}.")
        return dict(value or {})

    def where(self, *path) -> str:
        """How errors name a place: "file.yaml: Loss.Train[0]"."""
        dotted = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
        return f"{self.file}: {dotted.lstrip('.')}"

    def check_sections(self, known: Sequence[str]) -> None:
        """Refuse top-level names that are not among `known`."""
        for name in self.data:
            if name not in known:
                raise InputError(f"{self.file}: there is no section '{name}'. {nearest(name, known)}")

    def to_yaml(self) -> str:
        """The resolved settings as YAML that loads to the same Config."""
        return yaml.safe_dump(self.data, sort_keys=False, allow_unicode=True, width=100)

    def write(self, file: str | Path) -> None:
        """Save the resolved settings; a run from that file is the same run."""
        with atomic_write(file) as out:
            out.write(f"# resolved from {self.file}\n{self.to_yaml()}")

    def _override(self, text: str) -> None:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"-o {text}: expected key=value, for example -o Optimizer.lr.learning_rate=0.1")
        parts = key.split(".")
        try:
            value = yaml.load(value, _Loader)
        except yaml.YAMLError as error:
            raise InputError(f"-o {text}: the value is not valid YAML: {error}") from error
        place = self.data
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            where = f"-o {text}: {'.'.join(parts[:depth]) or 'the top level'} of {self.file}"
            if isinstance(place, list):
                if not part.isdigit() or int(part) >= len(place):
                    raise InputError(f"{where} is a list of {len(place)}: expected an index from 0 to "
                                     f"{len(place) - 1}, found '{part}'.")
                part = int(part)
            elif not isinstance(place, dict):
                raise InputError(f"{where} is the value {place!r} and holds no '{part}'.")
            if last:
                place[part] = value
            elif isinstance(place, dict) and place.get(part) is None:
                place[part] = {}            # a section that was absent; wrong names are found when it is built
            place = place[part]


def read_with_bases(file: str | Path) -> dict:
    """The content of a YAML file merged over its `_BASE_` files.

    Raises:
        InputError: unreadable file or base, a cycle of bases, or invalid YAML.
    """
    return _read_with_bases(Path(file), ())


def _read_with_bases(file: Path, seen: tuple[Path, ...]) -> dict:
    """The content of `file` merged over the content of its `_BASE_` files, in their order."""
    if file.resolve() in seen:
        raise InputError(f"{file}: _BASE_ leads back to itself: {' -> '.join(map(str, seen))}")
    try:
        data = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        needed_by = f" (a _BASE_ of {seen[-1]})" if seen else ""
        raise InputError(f"{file}{needed_by} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected sections such as 'Arch:', found {type(data).__name__}.")
    bases = data.pop("_BASE_", None) or []
    merged: dict = {}
    for base in [bases] if isinstance(bases, str) else bases:
        merged = merge(merged, _read_with_bases(file.parent / base, (*seen, file.resolve())))
    return merge(merged, data)


def merge(base: Mapping, over: Mapping) -> dict:
    """`base` with the settings of `over` on top.

    Mappings merge, everything else (lists too) is replaced, and null takes away what the base says.
    """
    merged = deepcopy(dict(base))
    for key, value in over.items():
        if value is None and merged.pop(key, None) is not None:
            continue
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else deepcopy(value)
    return merged


def flat(value, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, plain value) of everything in nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for key, inner in items:
            yield from flat(inner, f"{path}.{key}" if path else str(key))
