"""A static inference model as an ONNX file, by Paddle2ONNX."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle

from ..errors import InputError
from ..teachers.onnx import OnnxEngine
from .comparison import Exported, Program, check_equal, in_batches

ONNX = "student.onnx"
OPSET, ENGINE = 14, "onnx_cpu"
# In a process of its own: an operator that it does not know makes Paddle2ONNX abort.
_CONVERT = (f"import sys, paddle2onnx; model = paddle2onnx.export(*sys.argv[1:3], None, opset_version={OPSET}); "
            "open(sys.argv[3], 'wb').write(model)")
_REMEDY = ("Deploy the static inference model (inference.json) by Paddle Inference instead, or change the network to operators "
           "that are known.")


def export_onnx(prefix: Path, file: Path, images: np.ndarray, expected: np.ndarray) -> Exported:
    """Convert `prefix.json` + `prefix.pdiparams`, and compare what ONNX Runtime makes of the file.

    Args:
        prefix: path of the static model without its endings.
        file: of the ONNX model; it is not left behind when this fails.
        images: float32 [B, 3, H, W].
        expected: the network's logits for them, float32 [B, class_num].

    Raises:
        InputError: an operator is not supported, or the ONNX model cannot be run or answers differently.
    """
    try:
        convert(prefix, file)
        program, found = _answers(file, images, expected.shape[1])
        return Exported(ENGINE, program, check_equal("the ONNX model", expected, found))
    except InputError:
        file.unlink(missing_ok=True)
        raise


def convert(prefix: Path, file: Path) -> None:
    """Have Paddle2ONNX write `file`.

    Raises:
        InputError: it cannot; names the operators that it does not know.
    """
    argv = [sys.executable, "-c", _CONVERT, f"{prefix}.json", f"{prefix}.pdiparams", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0 and file.is_file():
        return
    unknown = unsupported_operators(prefix)
    if unknown:
        raise InputError(f"Paddle2ONNX does not support {', '.join(unknown)}, so there can be no ONNX file of this network. "
                         f"{_REMEDY}")
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
    raise InputError(f"Paddle2ONNX cannot convert this network (exit status {done.returncode}): {said.rstrip('.')}. {_REMEDY}")


def unsupported_operators(prefix: Path) -> list[str]:
    """The operators of a static model that Paddle2ONNX has no conversion for, sorted."""
    from paddle2onnx.paddle2onnx_cpp2py_export import get_all_supported_operators_pir

    older_names = get_all_supported_operators_pir()
    known = {each for name in older_names for each in (name, _today(name))}
    model = paddle.jit.load(str(prefix))
    program = model.program()                   # its operators live as long as it and the model do
    used = {operator.name() for operator in program.global_block().ops}
    operators = {name.partition(".")[2] for name in used if name.startswith("pd_op.")} - {"data", "feed", "fetch"}
    return sorted(name for name in operators if name not in known and name.rstrip("_") not in known)


def onnx_program(file: Path, class_num: int) -> Program:
    """An ONNX file as a function from images to logits."""
    engine = OnnxEngine(file, class_num)
    return lambda images: engine(paddle.to_tensor(images)).numpy()


def _answers(file: Path, images: np.ndarray, class_num: int) -> tuple[Program, np.ndarray]:
    """A file that was converted just now as a program, and its logits."""
    try:
        program = onnx_program(file, class_num)
        return program, in_batches(program, images)
    except Exception as error:          # ONNX Runtime has a class for each fault, and no common one
        raise InputError(f"ONNX Runtime cannot run what Paddle2ONNX made of this network: {str(error).splitlines()[0]:.300} "
                         f"{_REMEDY}") from error


def _today(name: str) -> str:
    """The name that an operator has in Paddle's programs now; Paddle2ONNX lists those of its earlier form."""
    from paddle.incubate.autograd.phi_ops_map import op_map

    return op_map.get(name, {}).get("phi_name", name)
