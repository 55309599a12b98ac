"""Print a config as a run would see it: `_BASE_` files merged, overrides applied, PaddleClas's form translated.

`ssld config translate` writes the native form of a PaddleClas 1.x or 2.x file, with comments on what changed.

Example:
  ssld config -c configs/Distillation/tiny/distill.yaml -o Global.epochs=2
  ssld config translate OLD.yaml --out NEW.yaml
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser, required=False)
    actions = parser.add_subparsers(dest="action", metavar="translate")
    translate = actions.add_parser("translate", help="write the native form of a PaddleClas file")
    translate.add_argument("old", metavar="OLD.yaml", help="PaddleClas 1.x or 2.x file")
    translate.add_argument("--out", metavar="NEW.yaml", help="file to write; default: standard output")
    translate.add_argument("--processes", type=int, default=1, metavar="N",
                           help="how many processes will train: 1.x gives the batch of all of them together (default 1)")


def run(args):
    from ..config import Config
    from ..errors import InputError

    if args.action == "translate":
        _translate(args)
    elif not args.config:
        raise InputError("expected -c FILE, or: ssld config translate OLD.yaml --out NEW.yaml")
    else:
        print(Config.load(args.config, args.override, show_native=False).to_yaml(), end="")


def _translate(args):
    from pathlib import Path

    from dedup.files import atomic_write

    from ..checks import positive_int
    from ..config import read_with_bases
    from ..errors import InputError
    from ..paddleclas_config import is_old, translate

    data = read_with_bases(args.old)
    if not is_old(data):
        raise InputError(f"{args.old} is not in a PaddleClas form: it has neither Arch.name (2.x) nor ARCHITECTURE (1.x).")
    text = translate(data, args.old, positive_int("--processes", args.processes)).to_yaml()
    if not args.out:
        print(text, end="")
        return
    if Path(args.out).resolve() == Path(args.old).resolve():
        raise InputError(f"--out {args.out} would replace the old file. Give another name.")
    with atomic_write(args.out) as out:
        out.write(text)
    print(f"wrote {args.out}")
