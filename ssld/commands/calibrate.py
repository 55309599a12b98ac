"""Measure from which similarity on the teacher's features mean a copy, with planted copies of evaluation images.

Writes thresholds.json (t_cand and t_auto for the section Remove), calibration.json and calibration.svg. The thresholds
hold for one network and its transforms only.

Example:
  ssld calibrate -c configs/Distillation/expand/billion.yaml --out thresholds/
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the thresholds and their report")
    parser.add_argument("--images", type=int, default=200, metavar="N", help="evaluation images copied, default 200")
    parser.add_argument("--max-others", type=int, default=2000, metavar="N",
                        help="images of the pool that show what would be removed by mistake, default 2000")


def run(args):
    from ..build_expansion import run_calibration
    from ..config import Config

    found = run_calibration(Config.load(args.config, args.override), args.images, args.max_others)
    found.write(args.out)
    lines = "".join(f"  {name}: {value}\n" for name, value in found.thresholds.items() if name != "embedding")
    print(f"{found.summary()}\nfor the config:\nRemove:\n  features: true\n{lines}wrote {args.out}/thresholds.json")
