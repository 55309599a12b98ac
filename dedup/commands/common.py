"""Arguments that several commands take."""
from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Optional

from ..errors import InputError
from ..network.calibration import read_thresholds
from ..network.embedding import Embed, load_embed
from ..options import Options
from ..remove import Progress


def parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with an example below its help."""
    return argparse.ArgumentParser(prog=f"python -m {name}", description=description, epilog=example,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def add_roots(target: argparse.ArgumentParser) -> None:
    """--pool-root and --eval-root."""
    target.add_argument("--pool-root", metavar="DIR", help="folder of the pool's paths, default: the list's own")
    target.add_argument("--eval-root", metavar="DIR", help="folder of the evaluation paths, default: the list's own")


def add_engine(target: argparse.ArgumentParser) -> None:
    """--engine and what goes with it."""
    target.add_argument("--engine", default="local", metavar="NAME", help="who works: local (default) or ray")
    target.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine, default 1")
    target.add_argument("--address", metavar="HOST:PORT", help="Ray cluster to join, or auto; default: Ray on this machine")
    target.add_argument("--temp-dir", metavar="DIR", help="for the sessions of Ray on this machine")


def add_options(target: argparse.ArgumentParser) -> None:
    """--embed, --thresholds and -o."""
    target.add_argument("--embed", metavar="MODULE:NAME", help="function files -> features [n, D] of a network")
    target.add_argument("--thresholds", metavar="FILE", help="thresholds.json of that network, from `dedup calibrate`")
    target.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=VALUE",
                        help="a parameter of dedup.Options, such as -o min_inliers=8; may be repeated")


def options_of(given: argparse.Namespace) -> tuple[Options, Optional[Embed]]:
    """Options and network that the arguments of `add_options` name.

    Raises:
        InputError: no such option, a value that it cannot have, or thresholds of another network.
    """
    chosen = read_thresholds(given.thresholds) if given.thresholds else {}
    if chosen and chosen["embedding"] != given.embed:
        raise InputError(f"{given.thresholds} holds thresholds of {chosen['embedding']}, but --embed is {given.embed}. "
                         "Thresholds hold for one network only.")
    if given.embed:
        chosen["embedding"] = given.embed
    return Options(**{**chosen, **_assigned(given.options)}), load_embed(given.embed) if given.embed else None


def _assigned(assignments: list[str]) -> dict:
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
    return chosen


def show(progress: Progress) -> None:
    """One line of progress."""
    left = f", about {progress.seconds_left:.0f} s left" if progress.done < progress.total else ""
    print(f"{progress.stage}: {progress.done} of {progress.total}, {progress.seconds:.0f} s{left}", flush=True)
