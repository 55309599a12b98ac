"""List what a config can name: methods, selectors, transforms, optimizers, schedules, backbones, engines.

Of a method it also shows the paper, and what it reads of the teacher, the student and the batch, features as by default.

Example:
  ssld list methods
"""
KINDS = ("methods", "selectors", "transforms", "optimizers", "schedules", "backbones", "engines")


def add_arguments(parser):
    parser.add_argument("kind", choices=KINDS, help="what to list")


def run(args):
    for name, line in _entries(args.kind):
        print(f"{name:32} {line}".rstrip())
        if args.kind == "methods":
            _describe(name)


def _describe(name):
    """Prints the paper of a method, and what it reads."""
    from ..methods import METHODS

    method = METHODS.get(name, "methods")
    print(f"    paper   {method.paper() or 'none named'}\n    needs   {_needs(method)}")


def _needs(method):
    """What a method reads, such as "teacher: features (pool); student: features (pool); batch: index"."""
    from ..methods.base import FROM_BATCH, FROM_TEACHER

    built = _with_defaults(method)
    read = {"teacher": _words(method.needs & FROM_TEACHER, built.teacher_taps),
            "student": _words(method.needs & {"features"}, built.student_taps),
            "batch": _words(method.needs & FROM_BATCH, ())}
    return "; ".join(f"{whose}: {words}" for whose, words in read.items() if words) or "nothing"


def _words(needs, taps):
    return ", ".join(f"features ({', '.join(taps)})" if need == "features" and taps else need for need in sorted(needs))


def _with_defaults(method):
    """A method with its default options, which knows its taps; the class itself where some options have no default."""
    from ..errors import InputError
    from ..methods import METHODS

    try:
        return METHODS.build(method.__name__, {}, "methods", class_num=2)
    except InputError:
        return method


def _entries(kind):
    """(name, first line of its docstring) of everything of a kind."""
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
    return [(name, _first_line(registry.get(name, kind))) for name in registry.names()]


def _first_line(entry):
    return ((entry.__doc__ or "").strip().splitlines() or [""])[0].rstrip(":")
