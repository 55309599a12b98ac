"""Print a config as a run would see it: `_BASE_` files merged, overrides applied.

Example:
  ssld config -c configs/Distillation/tiny/distill.yaml -o Global.epochs=2
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)


def run(args):
    from ..config import Config

    print(Config.load(args.config, args.override).to_yaml(), end="")
