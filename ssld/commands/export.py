"""Write the student of a run alone: PaddleClas weights, static inference model, learning-rate multipliers for transfer.

Example:
  ssld export -c configs/Distillation/tiny/distill.yaml --out exported/
  ssld export -c runs/student/config.yaml --weights runs/student/best --out exported/ --use detection
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the exported files")
    parser.add_argument("--weights", metavar="PATH", help="weights to export; default: the run's best, else its latest")
    parser.add_argument("--use", default="classification", choices=("classification", "detection"),
                        help="what the multipliers in transfer.yaml are for")


def run(args):
    from ..config import Config
    from ..export.run import export

    export(Config.load(args.config, args.override), args.out, args.weights, args.use)
