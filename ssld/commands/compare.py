"""Train a student by every method under every recipe, over several seeds, and say which differences exceed the noise.

The same command again goes on where an interrupted one stopped; what is done is not done again. When all runs are through,
the time of a step is measured, one run at a time: let the machine do nothing else then.

Example:
  ssld compare -c configs/Distillation/recipes/cifar10_methods.yaml --jobs 2
  ssld compare -c configs/Distillation/recipes/cifar10_methods.yaml --table
  ssld compare -c configs/Distillation/recipes/cifar10_methods.yaml -o Compare.seeds=[0] --dry-run
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time; they share the cores (default 1)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    parser.add_argument("--table", action="store_true", help="print the table of what is through by now, run nothing")


def run(args):
    from pathlib import Path

    from ..compare.read import read_comparison
    from ..compare.run import compare, table_so_far
    from ..config import Config

    comparison = read_comparison(Config.load(args.config, args.override))
    if args.table:
        print(table_so_far(comparison), end="")
        return
    written = compare(comparison, args.jobs, args.dry_run)
    if written:
        print(Path(written).with_suffix(".md").read_text(), end="")
        print(f"wrote {written}, and the table and the plot beside it (.md, .svg)")
