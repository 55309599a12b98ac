"""An ONNX model in 8-bit integers, by ONNX Runtime's static quantisation after training."""
from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError

INT8 = "student_int8.onnx"
_OPERATORS = ["Conv", "Gemm", "MatMul"]         # those with weights; layer norm and softmax lose too much in 8 bits
_BATCH = 16


def export_int8(onnx_file: Path, file: Path, images: np.ndarray) -> None:
    """Write the model of `onnx_file` with weights and inputs of its filters and matrices in 8 bits.

    Batch norms are first folded into the filters before them. Weights have a scale for each output channel; that of an input
    follows from its extremes on `images`. The file is an ordinary ONNX file (QuantizeLinear and DequantizeLinear around
    each operator).

    Args:
        onnx_file: in float32.
        file: to write.
        images: to calibrate on, of the training list under the evaluation's transforms, float32 [B, 3, H, W].

    Raises:
        InputError: ONNX Runtime cannot do it.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    arXiv:1712.05877.
    """
    from onnxruntime.quantization import QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded = file.with_name(f".folded-{file.name}")
    try:
        with _quiet():
            quant_pre_process(str(onnx_file), str(folded), skip_symbolic_shape=True)
            quantize_static(str(folded), str(file), _reader(folded, images), quant_format=QuantFormat.QDQ, per_channel=True,
                            op_types_to_quantize=_OPERATORS)
    except Exception as error:          # ONNX Runtime has a class for each fault, and no common one
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"ONNX Runtime cannot put this network into 8 bits: {reason:.200} Leave int8 out.") from error
    finally:
        folded.unlink(missing_ok=True)


def _reader(onnx_file: Path, images: np.ndarray):
    """What quantize_static reads the calibration from, in batches."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx.load(str(onnx_file), load_external_data=False).graph.input[0].name
    batches = ({name: images[first:first + _BATCH]} for first in range(0, len(images), _BATCH))

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks about each initializer and bias, which tell a user nothing."""
    import onnxruntime

    before = logging.root.manager.disable
    onnxruntime.set_default_logger_severity(3)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        onnxruntime.set_default_logger_severity(2)          # its own default: warnings
