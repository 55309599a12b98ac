"""Command line: `python -m dedup [sheet|calibrate] ...`."""
from __future__ import annotations

import sys

from .commands import calibrate, remove, sheet
from .errors import InputError

_COMMANDS = {"sheet": sheet.main, "calibrate": calibrate.main}


def main(arguments=None) -> int:
    """Run the command; returns the exit status, 2 when the user can mend it."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    named = _COMMANDS.get(arguments[0]) if arguments else None
    try:
        named(arguments[1:]) if named else remove.main(arguments)
    except InputError as error:
        print(f"dedup: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ndedup: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
