"""Says plainly whether this interpreter can run ssld; itself it runs under any Python."""
import sys

LOWEST, HIGHEST = (3, 9), (3, 11)

if not LOWEST <= sys.version_info[:2] <= HIGHEST:
    sys.exit(
        "%s is Python %d.%d, which is too %s: ssld needs 3.9, 3.10 or 3.11.\n"
        "(paddlepaddle 3.3.1 begins at 3.9; numpy 1.24.4, which paddleclas 2.6.0 pins, ends at 3.11.)\n"
        "Install one of these and say which: PYTHON=/path/to/python3.11 make demo"
        % (sys.executable, sys.version_info[0], sys.version_info[1],
           "old" if sys.version_info[:2] < LOWEST else "new"))
