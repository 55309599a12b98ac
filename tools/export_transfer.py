"""`ssld export-transfer` for people who launch from a clone; see `ssld export-transfer --help`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ssld.cli import tool

if __name__ == "__main__":
    sys.exit(tool("export-transfer"))
