"""Say what an exported network sees in pictures: the likeliest classes of each, and images per second.

Example:
  ssld predict exported/ photo.jpg
  ssld predict exported/ photos/ --topk 3 --out predictions.csv
  ssld predict exported/student_int8.onnx photos/ more/photo.png --batch 1
"""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="folder that `ssld export` wrote, or an ONNX file in it")
    parser.add_argument("pictures", nargs="+", metavar="IMAGE-OR-FOLDER", help="folders are searched recursively, in sorted "
                                                                                    "order")
    parser.add_argument("--topk", type=int, metavar="K", help="classes for each picture (default 5, or all where there are "
                                                                "fewer)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="pictures at a time (default 32)")
    parser.add_argument("--out", metavar="FILE", help="write the rows to a .csv or .json file instead of the terminal")
    parser.add_argument("--engine", default="auto", help="auto, onednn_fp32, onednn_bf16, native, eager or onnx (default "
                                                         "auto: the static model by oneDNN on the CPU; an ONNX file by ONNX "
                                                         "Runtime)")


def run(args):
    from .. import device
    from ..predict.run import predict

    device.start("auto" if args.engine == "eager" else "cpu")
    predict(args.model, args.pictures, args.topk, args.batch, args.out, args.engine)
