"""Walk the whole road on small photographs: train a teacher, curate a pool, distill, finetune, fix, export, report.

Takes minutes on a laptop without GPU and needs no download. Interrupted, the same command goes on.

Example:
  ssld demo --out demo_output
"""


def add_arguments(parser):
    parser.add_argument("--out", default="demo_output", metavar="DIR", help="folder for everything (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the photographs' split and of training")


def run(args):
    from ..cli import main
    from ..demo.road import run_demo

    run_demo(args.out, main, args.seed)
