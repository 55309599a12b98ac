"""The page on which a person looks at what a run removed and decides otherwise where it was wrong."""
from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

from dedup import Options
from dedup.files import atomic_write

from ..errors import InputError
from . import layout
from .cards import deal
from .comparison import Comparison, Unreadable, read_comparison, unreadable
from .expansion import Expansion, account, read_expansion
from .markup import Html, folded, join, markup, number, paragraph, table
from .pictures import PictureFolder
from .sections import curation, deck, removal, selection

_PAGE = "review.html"
_FLAGS = {"max_error_fraction": "--max-errors", "embedding": "--embed"}       # parameters with an option of their own


def write_review(folder: str | Path, out: str | Path | None = None, limit: int = 500, pool_root: str | None = None,
                 eval_root: str | None = None, classes: str | None = None) -> Path:
    """Write the page about a finished `python -m dedup` or `ssld expand`; its large pictures go to a folder beside it.

    Args:
        folder: what the run wrote.
        out: the page, review.html in `folder` by default.
        limit: pairs shown at most.
        pool_root, eval_root: where the pictures are, if they have moved.
        classes: file with the name of one class per line.

    Returns:
        The page.

    Raises:
        InputError: no finished run, or a limit below 1.
    """
    folder = Path(folder)
    if limit < 1:
        raise InputError(f"the limit of pairs must be at least 1, not {limit}.")
    expansion = read_expansion(folder, pool_root, eval_root) if (folder / "report.json").is_file() else None
    comparison = expansion.comparison if expansion else read_comparison(folder, pool_root, eval_root)
    out = Path(out) if out else folder / _PAGE
    pictures = PictureFolder(out.with_name(f"{out.stem}_pictures"), comparison, set())
    page = _render(comparison, expansion, pictures, limit, selection.read_names(classes))
    with atomic_write(out) as file:
        file.write(page)
    pictures.tidy()
    return out


def _render(comparison: Comparison, expansion: Expansion | None, pictures: PictureFolder, limit: int, names: list[str]) -> str:
    command = _expand_command(expansion) if expansion else _dedup_command(comparison)
    told, later, top = _of_expansion(expansion) if expansion else (unreadable(comparison, curation.UNREADABLE), [], Html(""))
    sections = [("What was removed, and why", join([top, removal.section(comparison, told, later)])),
                ("What to look at", deck.section(deal(comparison, limit), pictures, command))]
    if expansion:
        sections.append(("What was selected", selection.section(selection.Compared(expansion, None, names, None))))
    sections.append(("How it was run", _parameters(comparison)))
    return layout.page("Review of a curation", _header(comparison, expansion), sections, ["review.css"], "review.js")


def _of_expansion(expansion: Expansion) -> tuple[Unreadable, list[tuple], Html]:
    """The unreadable pictures, the stages after the comparison, and the chart of the flow."""
    told = account(expansion, curation.UNREADABLE)
    while_scoring = told.counts.get("unreadable", 0) - expansion.comparison.manifest["counts"]["errors"]
    later = [("scored by the teacher", 0, while_scoring), ("selected", told.counts.get("not selected", 0), 0)]
    return told.unreadable, later, curation.flow_figure(expansion, told)


def _header(comparison: Comparison, expansion: Expansion | None) -> Html:
    counts = comparison.manifest["counts"]
    facts = [(number(counts[key]), words) for key, words in
             (("in", "pool images"), ("removed", "removed"), ("errors", "unreadable"), ("kept", "left"))]
    if expansion:
        facts.append((number(expansion.report["pool"]["selected"]), "selected"))
    lead = markup('<p class="lead">Of {} pool images, {} were removed and {} were left. Look at the least certain ones, and '
                  "correct what is wrong.</p>", number(counts["in"]), number(counts["removed"]), number(counts["kept"]))
    dry = paragraph("This was a dry run: no list was written.") if expansion and expansion.report.get("dry_run") else Html("")
    return join([lead, dry, layout.tiles(facts)])


def _parameters(comparison: Comparison) -> Html:
    manifest = comparison.manifest
    usual = {name: default for name, _, default in _unusual(manifest["parameters"])}
    lists = [(name, manifest[key]["list"], number(manifest[key]["lines"]), markup("<code>{}</code>", manifest[key]["sha256"]))
             for name, key in (("pool", "pool"), ("evaluation", "evaluation"))]
    rows = [(name, str(value), str(usual.get(name, ""))) for name, value in manifest["parameters"].items()]
    return join([table(("list", "file", "lines", "sha256"), lists, "What was compared", text_columns=2),
                 _unreadable_evaluation(manifest["evaluation"].get("errors", 0)),
                 folded(f"Parameters of dedup {manifest['version']}",
                        table(("parameter", "value", "usual value, where it differs"), rows, text_columns=3))])


def _unreadable_evaluation(errors: int) -> Html:
    return paragraph("{} evaluation images could not be read, so copies of them were not found; eval_errors.tsv names them.",
                     number(errors)) if errors else Html("")


def _expand_command(expansion: Expansion) -> str:
    """What makes the expansion anew with a person's decisions."""
    config = expansion.origin.get("config_file") or "CONFIG.yaml"
    return f"ssld expand -c {shlex.quote(str(config))} --overrides overrides.tsv"


def _dedup_command(comparison: Comparison) -> str:
    """What makes the comparison anew with a person's decisions; what the manifest tells to be unusual is spelled out."""
    manifest, roots = comparison.manifest, comparison.roots
    words = ["python", "-m", "dedup", manifest["pool"]["list"], "--against", manifest["evaluation"]["list"]]
    words += ["--pool-root", roots.pool, "--eval-root", roots.evaluation, "--out", str(comparison.folder)]
    if "within_pool" in manifest:
        sources = [name for name in manifest["within_pool"]["candidates_from"] if name != "sha256"]
        words += ["--within-pool", "--sources", ",".join(sources)]
    for name, value, _ in _unusual(manifest["parameters"]):
        words += [_FLAGS[name], str(value)] if name in _FLAGS else ["-o", f"{name}={value}"]
    return shlex.join([*words, "--overrides", "overrides.tsv"])


def _unusual(parameters: dict) -> list[tuple]:
    """(name, value, default) of the parameters that are not at their default."""
    usual = {**asdict(Options()), "max_error_fraction": 0.05}
    return [(name, value, usual[name]) for name, value in parameters.items() if name in usual and usual[name] != value]
