"""Fine-tune an exported student on another task: search multipliers, rate and l2, train the best, compare and export it.

Settings are chosen on a part of the training images that is held out (or on images of its own); the evaluation images are
looked at by nothing but the runs at the end. The same command again goes on where an interrupted one stopped; what is done is
not done again.

Example:
  ssld transfer -c configs/Distillation/transfer/tiny.yaml --jobs 2
  ssld transfer -c configs/Distillation/transfer/ResNet50_vd.yaml --dry-run
  ssld transfer -c configs/Distillation/transfer/ResNet50_vd.yaml -o Transfer.final.seeds=[0,1,2]
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time; they share the cores (default 1)")
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be run, run nothing")


def run(args):
    from pathlib import Path

    from ..config import Config
    from ..transfer.plan import read_transfer
    from ..transfer.run import EXPORTED, transfer

    written = transfer(read_transfer(Config.load(args.config, args.override)), args.jobs, args.dry_run)
    if written:
        print(Path(written).with_suffix(".md").read_text(), end="")
        print(f"wrote {written}, tables and plots beside it (.md, .svg), and the network in {Path(written).parent / EXPORTED}")
