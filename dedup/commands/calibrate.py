"""`python -m dedup calibrate`: from which similarity on do a network's features mean a copy?"""
from __future__ import annotations

from ..errors import InputError
from ..network.calibrate import calibrate
from ..source import open_source
from ..workers.executors import open_executor, reader
from .common import add_engine, add_options, options_of, parser

_EXAMPLE = """example:
  python -m dedup calibrate --against val/list.txt --others pool/list.txt --embed my_network:features --out thresholds/
  python -m dedup pool/list.txt --against val/list.txt --out clean/ --embed my_network:features \\
      --thresholds thresholds/thresholds.json
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    own = parser("dedup calibrate", "Measure a network's thresholds with planted copies of evaluation pictures.", _EXAMPLE)
    own.add_argument("--against", metavar="EVAL", required=True, help="list, folder or .tar of the evaluation pictures")
    own.add_argument("--others", metavar="LIST", help="pictures like those of the pool; default: the evaluation pictures")
    own.add_argument("--out", metavar="DIR", required=True, help="folder for thresholds.json and the report")
    own.add_argument("--eval-root", metavar="DIR", help="folder of the evaluation paths, default: the list's own")
    own.add_argument("--others-root", metavar="DIR", help="folder of the other paths, default: the list's own")
    own.add_argument("--images", type=int, default=200, metavar="N", help="evaluation pictures copied, default 200")
    own.add_argument("--max-others", type=int, default=2000, metavar="N", help="other pictures used, default 2000")
    own.add_argument("--seed", type=int, default=0, help="of samples and edits")
    add_engine(own)
    add_options(own)
    given = own.parse_args(arguments)
    options, embed = options_of(given)
    if embed is None:
        raise InputError("calibrate needs --embed package.module:name, the function whose features are measured")
    evaluation = open_source(given.against, given.eval_root)
    others = open_source(given.others, given.others_root) if given.others else None
    with open_executor(given.engine, given.workers, given.address, temp_dir=given.temp_dir) as executor:
        found = calibrate(evaluation, embed, options, others, images=given.images, max_others=given.max_others,
                          seed=given.seed, map=reader(executor), progress=_show)
    found.write(given.out)
    print(f"{found.summary()}\n{given.out}/thresholds.json")


def _show(done: int, total: int) -> None:
    print(f"\r{done} of {total} pictures", end="\n" if done == total else "", flush=True)
