"""Write what other tasks start from, for PaddleClas or PaddleDetection: weights, learning-rate multipliers, l2.

No image is needed. For PaddleClas: student.pdparams and transfer.yaml. For PaddleDetection: student_det.pdparams, its tensors
renamed so that the detector finds all of them, and paddledetection.yml. card.json says what was written and what was dropped.

Example:
  ssld export-transfer -c configs/Distillation/SSLD/ResNet50_vd.yaml --out transfer/ --for paddleclas paddledetection
  ssld export-transfer -c runs/student/config.yaml --weights runs/student/best --out transfer/ --without-classifier
"""
from ..cli import add_config_arguments
from .export import add_student_arguments

_TARGETS = ("paddleclas", "paddledetection")


def add_arguments(parser):
    add_config_arguments(parser)
    add_student_arguments(parser)
    parser.add_argument("--for", dest="targets", nargs="+", default=["paddleclas"], choices=_TARGETS, metavar="TOOLKIT",
                        help=f"{' and '.join(_TARGETS)}; default: paddleclas")
    parser.add_argument("--without-classifier", action="store_true", help="leave the last linear layer out of student.pdparams")


def run(args):
    from ..config import Config
    from ..export.run import export_transfer

    export_transfer(Config.load(args.config, args.override), args.out, args.weights, args.targets, args.use,
                    classifier=not args.without_classifier)
