"""`ssld <command>`: finds the commands in ssld/commands, runs one, and turns mendable faults into one paragraph."""
from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
import textwrap
import warnings
from collections.abc import Sequence

from . import __version__, commands
from .errors import InputError

USER_ERROR = 2          # exit status of faults that the user can mend
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0, 2 for what the user can mend, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    _quiet_paddle()
    try:
        return args.run(args) or 0
    except InputError as error:
        if os.environ.get("SSLD_TRACEBACK"):
            raise
        print(f"ssld {args.command}: error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"\nssld {args.command}: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED


def tool(command: str) -> int:
    """The main function of a script in tools/: `ssld <command>` with the script's own arguments."""
    return main([command, *sys.argv[1:]])


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; a new module in ssld/commands is a new command."""
    parser = argparse.ArgumentParser(prog="ssld", description="Small image models as good as big ones, on PaddlePaddle.",
                                     epilog="ssld <command> --help shows an example of each.")
    parser.add_argument("--version", action="version", version=f"ssld {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for info in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"{commands.__name__}.{info.name}")
        doc = textwrap.dedent(module.__doc__).strip()
        command = subparsers.add_parser(info.name.replace("_", "-"), help=doc.splitlines()[0], description=doc,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _quiet_paddle() -> None:
    """Hide messages of Paddle that tell a user of this program nothing; to be called before it is imported."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    for message in ("No ccache found", "When training, we now always track"):
        warnings.filterwarnings("ignore", message=message)


def add_config_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """-c FILE and -o key=value, which most commands take."""
    parser.add_argument("-c", "--config", required=required, metavar="FILE", help="YAML of the run")
    parser.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE",
                        help="change a setting, such as Optimizer.lr.learning_rate=0.1; may be repeated")


if __name__ == "__main__":
    sys.exit(main())
