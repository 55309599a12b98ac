"""`python -m dedup sheet`: pictures of removed pairs."""
from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path

from ..errors import InputError
from ..match import read_matches
from ..options import Options
from ..sheet import contact_sheet, draw_match, least_certain_first, write_png
from .common import add_roots, parser

_EXAMPLE = """example:
  python -m dedup sheet clean/removed.tsv --out clean/removed.png --limit 40
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    own = parser("dedup sheet", "Draw removed pairs: pool image left, evaluation image right.", _EXAMPLE)
    own.add_argument("table", metavar="removed.tsv", help="table of a run; close.tsv works as well")
    own.add_argument("--out", metavar="PNG", help="contact sheet, default: beside the table")
    own.add_argument("--pairs", metavar="DIR", help="also write every pair as a PNG of its own")
    own.add_argument("--limit", type=int, default=40, metavar="N", help="pairs drawn, default 40")
    add_roots(own)
    given = own.parse_args(arguments)
    if given.limit < 1:
        raise InputError(f"--limit must be at least 1, got {given.limit}")
    table = Path(given.table)
    pool_root, eval_root, options = _of_run(table.parent / "manifest.json", given)
    found = read_matches(table)
    pairs = least_certain_first(found)
    matches = pairs[:given.limit]
    out = Path(given.out) if given.out else table.with_suffix(".png")
    write_png(out, contact_sheet(matches, pool_root, eval_root, options=options))
    if given.pairs:
        for number, match in enumerate(matches):
            write_png(Path(given.pairs) / f"{number:04d}.png", draw_match(match, pool_root, eval_root, 480, options))
    by_hand = f"; {len(found) - len(pairs)} decisions by hand have no picture" if len(found) > len(pairs) else ""
    print(f"{len(matches)} of {len(pairs)} pairs in {out}{by_hand}")


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
