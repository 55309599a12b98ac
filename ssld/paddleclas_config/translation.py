"""What a translation has to say: the native form, what was dropped or changed, and where old keys went."""
from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

import yaml

from ..errors import InputError

_WIDTH = 120


@dataclass
class Translation:
    """An old file in its native form.

    Attributes:
        version: of PaddleClas, "1.x" or "2.x".
        file: the old file.
        data: the native sections.
        changed: sentences on what behaves otherwise than PaddleClas did.
        dropped: reason -> keys of the old file that have no effect here.
        renamed: dotted old key -> dotted native key, also for everything below them.
    """

    version: str
    file: str
    data: dict = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def change(self, sentence: str) -> None:
        """Note a difference; saying it twice says it once."""
        if sentence not in self.changed:
            self.changed.append(sentence)

    def drop(self, key: str, why: str) -> None:
        """Note a key without effect here."""
        self.dropped.setdefault(why, []).append(key)

    def rename(self, **names: str) -> None:
        """Note where keys went; "__" in an argument's name stands for the dot."""
        self.renamed.update({old.replace("__", "."): new for old, new in names.items()})

    def native_yaml(self) -> str:
        """The native sections as compact YAML."""
        return yaml.dump(self.data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH,
                         default_flow_style=None)

    def to_yaml(self) -> str:
        """A native file that runs by itself, with comments on what was changed and dropped."""
        comments = [f"Translated from {self.file} (PaddleClas {self.version}).", *self._remarks()]
        return "".join(f"# {line}\n" for line in comments) + self.native_yaml()

    def notice(self, show_native: bool = True) -> str:
        """What a user is told when an old file runs."""
        lines = [f"{self.file} is in PaddleClas's {self.version} form and runs in translation.", *self._remarks()]
        if show_native:
            lines += [f"Native form (ssld config translate {self.file} --out NEW.yaml writes it):",
                      textwrap.indent(self.native_yaml(), "  ").rstrip()]
        return "\n".join(lines)

    def check_override(self, text: str) -> None:
        """Refuse a `-o key=value` that names a key of the old form.

        Raises:
            InputError: naming the native key that is meant.
        """
        key = text.partition("=")[0]
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            old = ".".join(parts[:length])
            if old in self.renamed:
                native = ".".join([self.renamed[old], *parts[length:]])
                if native != key:
                    raise InputError(f"-o {text}: {self.file} is in PaddleClas's {self.version} form; -o changes its "
                                     f"translation, where this key is {native}. Write -o {native}=...")
                return

    def _remarks(self) -> list[str]:
        remarks = [f"changed: {sentence}" for sentence in self.changed]
        remarks += [f"dropped: {', '.join(keys)} ({why})" for why, keys in self.dropped.items()]
        return [line for remark in remarks
                for line in textwrap.wrap(remark, _WIDTH - 4, initial_indent="  ", subsequent_indent="    ",
                                          break_long_words=False, break_on_hyphens=False)]


class _Dumper(yaml.SafeDumper):
    """Writes out what an anchor of the old file repeated."""

    def ignore_aliases(self, data) -> bool:
        return True
