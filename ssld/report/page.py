"""The page: everything is read first, then set in one file that opens from disk."""
from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dedup.files import atomic_write

from . import charts, expansion, ladder, layout, student, truth
from .markup import Html, markup, number, percent, points
from .sections import curation, curves, reproduce, selection
from .sections import ladder as ladder_section
from .sections import student as student_section
from .settings import ReportSettings


class Material(NamedTuple):
    """Everything that a report is about, read."""

    settings: ReportSettings
    rungs: list[ladder.Run]
    references: list[ladder.Run]
    compared: selection.Compared | None
    student: student.Student | None


def read_material(settings: ReportSettings) -> Material:
    """Read what the settings name.

    Raises:
        InputError: a run or folder is missing, not finished or damaged.
    """
    runs = [ladder.read_run(rung) for rung in settings.rungs]
    rungs, references = ([run for run in runs if run.rung.reference == wanted] for wanted in (False, True))
    return Material(settings, rungs, references, _read_curation(settings) if settings.expansion else None,
                    student.read_student(settings.export) if settings.export else None)


def _read_curation(settings: ReportSettings) -> selection.Compared:
    chosen = expansion.read_expansion(settings.expansion)
    random = expansion.read_expansion(settings.random_expansion) if settings.random_expansion else None
    if random:
        selection.check_alike(chosen, random)
    return selection.Compared(chosen, random, selection.read_names(settings.classes),
                              truth.read_truth(settings.truth) if settings.truth else None)


def write_report(material: Material, out: str | Path) -> Path:
    """Write the page to `out`, one file with everything in it; returns its path."""
    out = Path(out)
    with atomic_write(out) as file:
        file.write(render(material))
    return out


def write_figures(material: Material, folder: str | Path) -> list[Path]:
    """Write the charts as SVG files of their own, such as ladder.svg; returns their paths."""
    files = []
    for name, chart in _figures(material).items():
        files.append(Path(folder) / f"{name}.svg")
        with atomic_write(files[-1]) as file:
            file.write(charts.file(chart))
    return files


def _figures(material: Material) -> dict[str, charts.Chart]:
    """File name -> chart."""
    found = {"ladder": ladder_section.ladder_chart(material.rungs, material.references),
             **curves.curve_charts(material.rungs, material.references)}
    if material.compared:
        found["flow"] = curation.flow_chart(expansion.account(material.compared.expansion, 0))
        found.update(selection.selection_charts(material.compared))
    return {re.sub(r"\W+", "_", name.lower()): chart for name, chart in found.items()}


def render(material: Material) -> str:
    """The page as HTML."""
    settings = material.settings
    intro = markup('<p class="intro">{}</p>', settings.intro) if settings.intro else Html("")
    lead = ladder_section.sentence(material.rungs, material.references)
    header = markup('{}<p class="lead">{}</p>{}', intro, lead, _tiles(material))
    return layout.page(settings.title, header, _sections(material))


def _sections(material: Material) -> list[tuple[str, Html]]:
    """(title, content) in the order of the page."""
    compared, runs = material.compared, [*material.rungs, *material.references]
    found = [("The ladder", ladder_section.section(material.rungs, material.references)),
             ("How the runs went", curves.section(material.rungs, material.references))]
    if compared:
        found += [("What curation did", curation.section(compared.expansion, compared.truth)),
                  ("What was selected", selection.section(compared))]
    if material.student:
        found.append(("The exported student", student_section.section(material.student)))
    expansions = [e for e in (compared.expansion, compared.random) if e] if compared else []
    return [*found, ("How to make it again", reproduce.section(runs, expansions))]


def _tiles(material: Material) -> Html:
    """A few large numbers."""
    last, first = material.rungs[-1], material.rungs[0]
    facts = [(percent(last.top1), f"top-1 of “{last.name}”")]
    if len(material.rungs) > 1:
        facts.insert(0, (points(ladder.gain(first, last).points), "points from first rung to last"))
    if material.compared:
        pool = material.compared.expansion.report["pool"]
        facts += [(number(pool["selected"]), f"of {pool['lines']:,} pool lines selected"),
                  (number(pool["duplicate"]), "copies of evaluation images removed")]
    if material.student:
        facts.append((number(material.student.card.parameters), "parameters in the student"))
    return layout.tiles(facts)
