"""Say what a run will take before it starts: parameters, multiply-adds, steps and memory.

Networks are built with random weights; neither weights nor images are read.

Example:
  ssld describe -c configs/Distillation/ScaleKD/ResNet50_SwinL.yaml --processes 32 --images 1281167
  ssld describe -c configs/Distillation/tiny/distill.yaml --json description.json
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many processes will train (default 1)")
    parser.add_argument("--images", type=int, metavar="N", help="images of the training list; default: the lines of that file")
    parser.add_argument("--json", metavar="FILE", help="also write the description to a file")


def run(args):
    from dedup.files import write_json

    from ..build_description import build_description
    from ..config import Config

    description = build_description(Config.load(args.config, args.override), args.processes, args.images)
    print(description.text())
    if args.json:
        write_json(args.json, description.as_dict())
        print(f"\nwrote {args.json}")
