"""Write the student of a run alone: weights, static models, learning-rate multipliers for transfer, and a card.

Always written: student.pdparams (PaddleClas's key names), inference.json and inference.pdiparams (for Paddle Inference),
transfer.yaml (multipliers and l2 to fine-tune with), card.json (where it comes from, accuracy measured on the exported
files, checksums). --also adds
  onnx          student.onnx, checked with ONNX Runtime               (pip install 'ssld[export]')
  safetensors   student.safetensors, PaddleClas's key names           (pip install 'ssld[export]')
  int8          student_int8.onnx, quantised on the training list     (pip install 'ssld[export]')
  detection     student_det.pdparams and paddledetection.yml, for ResNet and MobileNetV3

Example:
  ssld export -c configs/Distillation/tiny/distill.yaml --out exported/
  ssld export -c runs/student/config.yaml --weights runs/student/best --out exported/ --also onnx int8 --class-names names.txt
"""
from ..cli import add_config_arguments

_ALSO, _USES = ("onnx", "safetensors", "int8", "detection"), ("classification", "detection")


def add_arguments(parser):
    add_config_arguments(parser)
    add_student_arguments(parser)
    parser.add_argument("--also", nargs="+", default=[], choices=_ALSO, metavar="FORMAT",
                        help=f"further formats: {', '.join(_ALSO)}")
    parser.add_argument("--class-names", metavar="FILE",
                        help='names of the classes for the card: one per line, or "0 tench" as PaddleClas\'s class_id_map_file')


def add_student_arguments(parser):
    """--out, --weights and --use, which `ssld export-transfer` takes too."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the exported files")
    parser.add_argument("--weights", metavar="PATH", help="weights to export; default: the run's best, else its latest")
    parser.add_argument("--use", choices=_USES, help="what the multipliers are for; default: classification, and detection in "
                        "paddledetection.yml")


def run(args):
    from ..config import Config
    from ..export.run import export

    export(Config.load(args.config, args.override), args.out, args.weights, args.use, args.also, args.class_names)
