"""Train a network: supervised, distilled, fine-tuned, or its classifier alone - the config decides.

The same command again goes on where an interrupted run stopped.

Example:
  ssld train -c configs/Distillation/tiny/distill.yaml -o Global.epochs=2
  python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py -c configs/Distillation/tiny/distill.yaml
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="build everything, train nothing")
    parser.add_argument("--restart", action="store_true", help="discard what an earlier run left in output_dir")


def run(args):
    from ..config import Config
    from ..train.run import train

    train(Config.load(args.config, args.override), dry_run=args.dry_run, restart=args.restart)
