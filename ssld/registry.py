"""From a name and keyword arguments in YAML to an object; the signature is the schema."""
from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping

from .annotations import check_types
from .errors import InputError, located


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that helps someone who wrote `word` where one of `known` was expected."""
    known = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(known)}." if known else "None is known."


def check_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse names that are not among `known`, showing the nearest one."""
    for name in given:
        if name not in known:
            raise InputError(f"{where} has no option '{name}'. {nearest(name, known)}")


def options_of(value, where: str) -> dict:
    """`value` as a new dict of options; {} for null.

    Raises:
        InputError: something else than 'key: value' pairs.
    """
    if not isinstance(value, (Mapping, type(None))):
        raise InputError(f"{where}: expected options as 'key: value', found {value!r}.")
    return dict(value or {})


def check_arguments(target, given: Iterable[str], where: str, injected: Iterable[str] = ()) -> None:
    """Compare argument names with the signature of `target`.

    Args:
        target: class or function about to be called.
        given: names that come from the user; of a mapping to values, the types of these are compared as well.
        where: file and section, to open the error with.
        injected: names that the program supplies itself; the user may not.

    Raises:
        InputError: a name that `target` does not take, one that it needs and nobody gives, or a value of another type
            than the signature's.
    """
    parameters = inspect.signature(target).parameters
    injected = set(injected)
    options = {name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - injected
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not takes_any:
        check_keys(given, options, where)
    if isinstance(given, Mapping):
        check_types(parameters, given, where)
    for name in options - set(given):
        parameter = parameters[name]
        if parameter.default is parameter.empty:
            raise InputError(f"{where} needs the option '{name}'.")


class Registry:
    """Names of one kind of thing ("method", "transform", ...) and the classes or functions behind them."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, type] = {}

    def register(self, entry):
        """Class or function decorator: known from now on under its own name."""
        known = self._entries.setdefault(entry.__name__, entry)
        if known is not entry:
            raise ValueError(f"two {self.kind}s are called {entry.__name__}: {known.__module__}, {entry.__module__}")
        return entry

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def get(self, name: str, where: str):
        """The entry called `name`.

        Raises:
            InputError: no such entry; the nearest name is shown.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise InputError(f"{where}: there is no {self.kind} '{name}'. {nearest(name, self._entries)}")
        return self._entries[name]

    def build(self, name: str, arguments: Mapping | None, where: str, **injected):
        """Call the entry `name` with the user's `arguments` and with whatever of `injected` it takes.

        `arguments` is not modified. What the user says wins over nothing: injected names are not options.
        """
        entry, options = self.get(name, where), options_of(arguments, f"{where}.{name}")
        accepted = inspect.signature(entry).parameters
        injected = {key: value for key, value in injected.items() if key in accepted}
        check_arguments(entry, options, f"{where}.{name}", injected)
        with located(f"{where}.{name}"):
            return entry(**{**options, **injected})


def import_all(package: str) -> None:
    """Import every module of a package, so that what they register is known; a new file needs no list to be edited."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
