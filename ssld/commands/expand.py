"""Make a training list from labelled images and a pool: remove copies, score, select, merge.

The same command again goes on where an interrupted run stopped.

Example:
  ssld expand -c configs/Distillation/tiny/expand.yaml -o Select.k=40
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)


def run(args):
    from ..build_expansion import run_expansion
    from ..config import Config
    from ..device import is_main

    expansion = run_expansion(Config.load(args.config, args.override))
    if not is_main():
        return
    pool = expansion.report["pool"]
    print(f"pool: {pool['lines']:,} lines = " + " + ".join(f"{n:,} {name}" for name, n in pool.items() if name != "lines"))
    taken = expansion.report["classes"]["selected"]
    print(f"selected per class: {min(taken)} to {max(taken)}; classes without any: "
          f"{', '.join(map(str, expansion.report['classes']['without_any'])) or 'none'}")
    print(f"wrote {expansion.file}: {len(expansion.train):,} images under {expansion.train.root}")
