"""List what a config can name: methods, selectors, transforms, optimizers, schedules, backbones, engines.

Example:
  ssld list methods
"""
KINDS = ("methods", "selectors", "transforms", "optimizers", "schedules", "backbones", "engines")


def add_arguments(parser):
    parser.add_argument("kind", choices=KINDS, help="what to list")


def run(args):
    for name, line in _entries(args.kind):
        print(f"{name:32} {line}".rstrip())


def _entries(kind):
    """(name, first sentence of its docstring) of everything of a kind."""
    from ..curation.selectors import SELECTORS
    from ..data.transforms import TRANSFORMS
    from ..methods import METHODS
    from ..models.zoo import backbone_names
    from ..optim.optimizers import OPTIMIZERS
    from ..optim.schedules import SCHEDULES
    from ..teachers.engines import ENGINES

    if kind == "backbones":
        return [(name, "") for name in backbone_names()]
    if kind == "engines":
        return [(name, "") for name in ENGINES]
    registry = {"methods": METHODS, "selectors": SELECTORS, "transforms": TRANSFORMS, "optimizers": OPTIMIZERS,
                "schedules": SCHEDULES}[kind]
    return [(name, (registry.get(name, kind).__doc__ or "").strip().splitlines()[0]) for name in registry.names()]
