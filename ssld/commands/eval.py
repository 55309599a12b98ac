"""Measure the accuracy of a run's student, or of any weights, on the evaluation list of a config.

Example:
  ssld eval -c configs/Distillation/tiny/distill.yaml
  ssld eval -c configs/Distillation/tiny/distill.yaml --weights runs/other/best --json accuracy.json
"""
from ..cli import add_config_arguments


def add_arguments(parser):
    add_config_arguments(parser)
    parser.add_argument("--weights", metavar="PATH", help="weights to measure; default: the best of the run's output_dir")
    parser.add_argument("--engine", default="auto", help="auto, onednn_fp32 or eager")
    parser.add_argument("--json", metavar="FILE", help="also write the result to a file")


def run(args):
    from ..config import Config
    from ..train.run import evaluate_weights

    evaluate_weights(Config.load(args.config, args.override), args.weights, args.engine, args.json)
