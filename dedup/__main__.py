"""Command line: `python -m dedup`."""
from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from .errors import InputError
from .match import read_matches
from .options import Options
from .remove import Progress, Removal, remove_copies
from .sheet import contact_sheet, draw_match, least_certain_first, write_png

_REMOVE_EXAMPLE = """example:
  python -m dedup pool/list.txt --against val/list.txt --out clean/ --workers 8
      reads "path label" or "path" lines, relative to the folder of each list, and writes clean/kept.txt
  python -m dedup photos/ --against holdout/ --out clean/
      the same for two folders
  python -m dedup sheet clean/removed.tsv --out clean/removed.png
      draws what was removed, the least certain first
"""
_SHEET_EXAMPLE = """example:
  python -m dedup sheet clean/removed.tsv --out clean/removed.png --limit 40
"""


def main(arguments=None) -> int:
    """Run the command; returns the exit status, 2 when the user can mend it."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _sheet(arguments[1:]) if arguments[:1] == ["sheet"] else _remove(arguments)
    except InputError as error:
        print(f"dedup: {error}", file=sys.stderr)
        return 2


def _remove(arguments: list[str]) -> int:
    parser = _parser("dedup", "Remove every picture of a pool that copies an evaluation picture.", _REMOVE_EXAMPLE)
    parser.add_argument("pool", metavar="POOL", help="list file or folder of the pictures to clean")
    parser.add_argument("--against", metavar="EVAL", required=True, help="the same of the evaluation pictures")
    parser.add_argument("--out", metavar="DIR", required=True, help="output folder; an interrupted run goes on from it")
    _add_roots(parser)
    parser.add_argument("--delimiter", default=" ", help="between path and label, default: a space")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, default 1")
    parser.add_argument("--shard-size", type=int, metavar="N", help="pictures per shard, default 10000 or fewer")
    parser.add_argument("--max-errors", type=float, default=0.05, metavar="PART",
                        help="part of a shard that may be unreadable, in [0, 1], default 0.05")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=VALUE",
                        help="a parameter of dedup.Options, such as -o min_inliers=8; may be repeated")
    given = parser.parse_args(arguments)
    print(f"comparing {given.pool} with {given.against}, {given.workers} worker(s), into {given.out}")
    removal = remove_copies(given.pool, given.against, given.out, pool_root=given.pool_root, eval_root=given.eval_root,
                            options=_options(given.options), delimiter=given.delimiter.replace("\\t", "\t"),
                            workers=given.workers, shard_size=given.shard_size, max_error_fraction=given.max_errors,
                            progress=_show)
    _summarise(removal)
    return 0


def _sheet(arguments: list[str]) -> int:
    parser = _parser("dedup sheet", "Draw removed pairs: pool image left, evaluation image right.", _SHEET_EXAMPLE)
    parser.add_argument("table", metavar="removed.tsv", help="table of a run; close.tsv works as well")
    parser.add_argument("--out", metavar="PNG", help="contact sheet, default: beside the table")
    parser.add_argument("--pairs", metavar="DIR", help="also write every pair as a PNG of its own")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="pairs drawn, default 40")
    _add_roots(parser)
    given = parser.parse_args(arguments)
    if given.limit < 1:
        raise InputError(f"--limit must be at least 1, got {given.limit}")
    table = Path(given.table)
    pool_root, eval_root, options = _of_run(table.parent / "manifest.json", given)
    matches = least_certain_first(read_matches(table))[:given.limit]
    out = Path(given.out) if given.out else table.with_suffix(".png")
    write_png(out, contact_sheet(matches, pool_root, eval_root, options=options))
    if given.pairs:
        for number, match in enumerate(matches):
            write_png(Path(given.pairs) / f"{number:04d}.png", draw_match(match, pool_root, eval_root, 480, options))
    print(f"{len(matches)} pairs in {out}")
    return 0


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"python -m {name}", description=description, epilog=example,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def _add_roots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool-root", metavar="DIR", help="folder of the pool's paths, default: the list's own")
    parser.add_argument("--eval-root", metavar="DIR", help="folder of the evaluation paths, default: the list's own")


def _options(assignments: list[str]) -> Options:
    """Options from `name=value` texts; each value is read as the type of the default."""
    known, chosen = {field.name: field.default for field in fields(Options)}, {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in known:
            raise InputError(f"-o {assignment}: there is no option {name!r}. Known: {', '.join(known)}")
        kind = float if known[name] is None else type(known[name])
        try:
            chosen[name] = kind(text)
        except ValueError:
            raise InputError(f"-o {assignment}: expected a value of type {kind.__name__}, got {text!r}") from None
    return Options(**chosen)


def _of_run(file: Path, given: argparse.Namespace) -> tuple:
    """Roots and options of the run that made a table; roots on the command line come first."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        names = {field.name for field in fields(Options)}
        options = Options(**{k: v for k, v in manifest["parameters"].items() if k in names})
        return given.pool_root or manifest["pool"]["root"], given.eval_root or manifest["evaluation"]["root"], options
    except (OSError, ValueError, KeyError) as error:
        if given.pool_root and given.eval_root:
            return given.pool_root, given.eval_root, Options()
        raise InputError(f"{file}, which says where the pictures are, cannot be read: {error}. Give --pool-root and "
                         "--eval-root.") from error


def _show(progress: Progress) -> None:
    rate = f"{progress.seconds:.0f} s, about {progress.seconds_left:.0f} s left"
    print(f"{progress.done} of {progress.total} images, {rate}", flush=True)


def _summarise(removal: Removal) -> None:
    reasons = removal.manifest["counts"]["removed_by_reason"]
    why = ", ".join(f"{count} by {reason}" for reason, count in reasons.items() if count)
    print(f"{removal.images} images: {removal.kept} kept, {removal.removed} removed{f' ({why})' if why else ''}, "
          f"{removal.errors} unreadable")
    print(f"{removal.kept_file}\n{removal.removed_file}")


if __name__ == "__main__":
    sys.exit(main())
