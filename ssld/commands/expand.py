"""Make a training list from labelled images and a pool: remove copies, score, select, merge, report.

The same command again goes on where an interrupted run stopped. What a person decided on the page of the report
(ssld review) is applied by --overrides, without comparing anything again.

Example:
  ssld expand -c configs/Distillation/tiny/expand.yaml -o Select.k=40
  ssld expand -c configs/Distillation/expand/imagenet22k.yaml --engine ray --address auto
  ssld expand -c configs/Distillation/expand/imagenet22k.yaml --overrides overrides.tsv
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--overrides", metavar="FILE", help="decisions of a person: lines 'keep<TAB>path', 'remove<TAB>path'")
    parser.add_argument("--engine", choices=("local", "ray"), help="who does the work, default: Engine.engine, else local")
    parser.add_argument("--address", help="of a Ray cluster: auto, or host:port")
    parser.add_argument("--workers", type=int, metavar="N", help="processes of the removal on this machine")
    parser.add_argument("--dry-run", action="store_true", help="compute and report everything, write no list")


def run(args):
    from ..build_expansion import run_expansion
    from ..config import Config
    from ..device import is_main
    from ..report.review import write_review

    engine = {key: getattr(args, key) for key in ("engine", "address", "workers") if getattr(args, key) is not None}
    overrides = [*args.override, *(f"Engine.{key}={value}" for key, value in engine.items())]
    expansion = run_expansion(Config.load(args.config, overrides), args.overrides, args.dry_run)
    if not is_main():
        return
    pool = expansion.report["pool"]
    print(f"pool: {pool['lines']:,} lines = " + " + ".join(f"{n:,} {name}" for name, n in pool.items() if name != "lines"))
    taken = expansion.report["classes"]["selected"]
    without = expansion.report["classes"]["without_any"]
    print(f"selected per class: {min(taken)} to {max(taken)}; classes without any: "
          f"{', '.join(map(str, without[:20])) or 'none'}{f' ... ({len(without):,})' if len(without) > 20 else ''}")
    print(f"report: {write_review(expansion.folder)}")
    if expansion.file is None:
        print(f"dry run: no list was written; the account is in {expansion.folder}")
    else:
        print(f"wrote {expansion.file}: {len(expansion.train):,} images under {expansion.train.root}")
