"""Run several configs in order over several seeds, each starting from what earlier ones left, and compare the results.

The same command again goes on where an interrupted one stopped; what is done is not done again.

Example:
  ssld recipe configs/Distillation/recipes/cifar10_ladder.yaml --jobs 2
  ssld recipe configs/Distillation/recipes/cifar10_ladder.yaml -o Recipe.seeds=[0] --dry-run
"""


def add_arguments(parser):
    parser.add_argument("config", metavar="FILE", help="YAML of the recipe")
    parser.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE",
                        help="change a setting of the recipe, such as Recipe.seeds=[0]; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="stages at a time; they share the cores (default 1)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")


def run(args):
    from pathlib import Path

    from ..config import Config
    from ..recipe.plan import read_recipe
    from ..recipe.run import run_recipe

    summary = run_recipe(read_recipe(Config.load(args.config, args.override)), args.jobs, args.dry_run)
    if summary:
        print(Path(summary).with_suffix(".md").read_text(), end="")
        print(f"wrote {summary}, and the table and the plot beside it (.md, .svg)")
