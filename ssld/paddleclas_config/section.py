"""Reading one mapping of an old file, so that no key is overlooked."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import InputError
from ..registry import check_keys
from .translation import Translation


class Section:
    """One mapping of an old file. Every key has to be taken, dropped with a reason or known to say nothing new; what is
    left when the section is closed is an unknown key.

    Args:
        translation: collects the notes.
        value: the mapping; null is an empty one.
        path: its place, such as "Arch.models[0].Teacher"; "" is the whole file.

    Raises:
        InputError: `value` is no mapping.
    """

    def __init__(self, translation: Translation, value, path: str = ""):
        self.translation, self.path = translation, path
        self.where = f"{translation.file}: {path}" if path else translation.file
        if not isinstance(value, (Mapping, type(None))):
            raise InputError(f"{self.where} must hold 'key: value' settings, not {value!r}.")
        self.left = dict(value or {})
        self.known: set[str] = set()

    def take(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` when it is absent or null."""
        self.known.add(key)
        value = self.left.pop(key, None)
        return default if value is None else value

    def has(self, key: str) -> bool:
        """Whether a key is there and not null; such a key counts as known, and its null as said."""
        self.known.add(key)
        if self.left.get(key) is None:
            self.left.pop(key, None)
            return False
        return True

    def flag(self, key: str, default: bool = False) -> bool:
        """A key that must be true or false."""
        return self._checked(key, default, bool, "true or false")

    def text(self, key: str, default: str = "") -> str:
        """A key that must be text."""
        return self._checked(key, default, str, "text")

    def entries(self, key: str) -> list:
        """A key that must hold a list; absent or null is an empty one."""
        return self._checked(key, [], list, "a list")

    def whole(self, key: str, default: int) -> int:
        """A key that must be a whole number."""
        return self._checked(key, default, int, "a whole number")

    def inner(self, key: str) -> Section:
        """A mapping inside this one."""
        return Section(self.translation, self.take(key), self.place(key))

    def drop(self, why: str, *keys: str) -> None:
        """Keys without effect here; those that are set are noted."""
        for key in keys:
            if self.take(key) is not None:
                self.translation.drop(self.place(key), why)

    def only(self, key: str, harmless: Collection, why: str) -> None:
        """A key that may only have values which change nothing here; null is one.

        Raises:
            InputError: any other value, with the reason.
        """
        value = self.take(key)
        if value is not None and value not in harmless:
            raise InputError(f"{self.translation.file}: {self.place(key)}: {value!r} is not supported: {why}")

    def rest(self) -> dict:
        """Everything else as it stands, nulls too; whoever is built from it refuses what it does not know."""
        left, self.left = self.left, {}
        return left

    def close(self) -> None:
        """Refuse what nobody asked for.

        Raises:
            InputError: with the nearest known key.
        """
        check_keys(self.left, self.known, self.where)

    def place(self, key: str) -> str:
        """How notes call a key of this section."""
        return f"{self.path}.{key}" if self.path else key

    def _checked(self, key: str, default, kind: type, expected: str):
        value = self.take(key, default)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(f"{self.translation.file}: {self.place(key)} must be {expected}, not {value!r}.")
        return value


def named_entry(translation: Translation, entry, path: str) -> tuple[str, Section]:
    """A one-key mapping such as {CELoss: {weight: 1.0}}, or a bare name, as (name, section).

    Raises:
        InputError: anything else.
    """
    name, options = next(iter(entry.items())) if isinstance(entry, Mapping) and len(entry) == 1 else (entry, None)
    if not isinstance(name, str):
        raise InputError(f"{translation.file}: {path}: expected one name with its settings, found {entry!r}.")
    return name, Section(translation, options, f"{path}.{name}")
