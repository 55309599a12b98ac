"""The section Report: which runs and folders a report is about."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ..config import Config
from ..errors import InputError
from ..registry import check_arguments


@dataclass(frozen=True)
class Rung:
    """A finished run.

    Attributes:
        name: how the report calls it.
        run: its output folder.
        reference: drawn as a line to compare with, such as the teacher; not a rung of the ladder.
        note: shown beside it in the table.
    """

    name: str
    run: str
    reference: bool = False
    note: str = ""


@dataclass(frozen=True)
class ReportSettings:
    """What a report shows; of everything but the rungs, what is not given is left out.

    Attributes:
        title: of the page.
        rungs: finished runs from first to last; at least one that is no reference.
        intro: a paragraph to open with.
        expansion: folder of `ssld expand`.
        random_expansion: a second one to compare with.
        classes: file with the name of one class per line.
        truth: csv with the columns path, kind, source, edits that says what each pool image is; see `report.truth`.
        export: folder of `ssld export`.
    """

    title: str
    rungs: tuple[Rung, ...]
    intro: str = ""
    expansion: str | None = None
    random_expansion: str | None = None
    classes: str | None = None
    truth: str | None = None
    export: str | None = None

    def __post_init__(self):
        if self.expansion is None and (self.random_expansion or self.truth):
            needy = "random_expansion" if self.random_expansion else "truth"
            raise InputError(f"{needy} needs the option 'expansion' beside it: it is what {needy} is compared with.")


def read_settings(config: Config) -> ReportSettings:
    """The section Report of a config.

    Raises:
        InputError: a key that does not exist, one that is missing, or a value of another kind.
    """
    config.check_sections(["Report"])
    section, where = config.section("Report"), config.where("Report")
    check_arguments(ReportSettings, section, where)
    listed = section.pop("rungs")
    if not isinstance(listed, list):
        raise InputError(f"{where}.rungs must be a list of runs such as '- {{name: first, run: runs/first}}', not "
                         f"{listed!r}.")
    rungs = tuple(_rung(item, config.where("Report", "rungs", number)) for number, item in enumerate(listed))
    if all(rung.reference for rung in rungs):
        raise InputError(f"{where}.rungs holds {len(rungs)} runs and none without 'reference: true'; a ladder needs at "
                         "least one rung.")
    _refuse_empty(ReportSettings, section, where)
    try:
        return ReportSettings(rungs=rungs, **section)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _rung(item, where: str) -> Rung:
    if not isinstance(item, Mapping):
        raise InputError(f"{where} must hold 'name' and 'run', not {item!r}.")
    check_arguments(Rung, item, where)
    _refuse_empty(Rung, item, where)
    return Rung(**item)


def _refuse_empty(target, given: Mapping, where: str) -> None:
    """Refuse an empty text where there must be one."""
    for name in (field.name for field in fields(target) if field.type == "str" and field.default != ""):
        if given.get(name) == "":
            raise InputError(f"{where}.{name} must be a text, and not an empty one.")
