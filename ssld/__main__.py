"""`python -m ssld`, and the script that paddle.distributed.launch can start."""
import sys
from pathlib import Path

# started as a script, the package's own folder would come first, and its modules before others of their names
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from ssld.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
