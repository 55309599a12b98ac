"""A teacher of any framework: an ONNX file, run by ONNX Runtime (`pip install ssld[onnx]`)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import Tensor

from ..device import cpu_threads
from ..errors import InputError
from ..outputs import Outputs
from ..registry import nearest
from .live import LiveTeacher
from .own_view import OwnView
from .record import TeacherIdentity

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_FLOOR = 1e-30                  # of a probability, so that its logarithm is finite
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxEngine:
    """Runs an ONNX file: normalised images float32 [B, 3, H, W] -> logits float32 [B, class_num]; see ssld.teachers.engines.

    On a GPU it takes the CUDA provider if this ONNX Runtime has it, else the CPU with the threads that Paddle would have. A
    file whose batch size is fixed is run that many images at a time.

    Args:
        file: with one input, images [B, 3, H, W] in float32 or float16.
        class_num: width of the logits.
        outputs: name of a feature -> the file's output that gives it.
        logits: the file's output that gives them; default: the only one that is not among `outputs`.
        probabilities: the file ends in a softmax; their logarithms are the answer.
        threads: CPU threads.

    Attributes:
        name: onnx_cpu or onnx_cuda.
        provides: what a method may read.
        size: (height, width) of the images that it takes; None in place of a number: any.

    Raises:
        InputError: ONNX Runtime is missing; no ONNX file; no such output; other inputs than images; another class_num.
    """

    def __init__(self, file: str | Path, class_num: int, outputs: Mapping[str, str] | None = None, logits: str | None = None,
                 probabilities: bool = False, threads: int | None = None):
        self.file, self.class_num, self.outputs = Path(file), class_num, dict(outputs or {})
        self.probabilities = probabilities
        self.session = _open(self.file, threads or cpu_threads())
        self.name = "onnx_cuda" if _CUDA in self.session.get_providers() else "onnx_cpu"
        self.provides = frozenset({"probabilities"} | (set() if probabilities else {"logits"})
                                  | ({"features"} if self.outputs else set()))
        self._input, self._type, self._batch, self.size = self._look_at_input()
        self._logits = self._find_outputs(logits)

    def __call__(self, image: Tensor) -> Tensor:
        return self.ask(image, ())[0]

    def ask(self, image: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits of a batch, and those of its features that `names` lists.

        Raises:
            InputError: images of another size than the file takes, or answers of another width than class_num.
        """
        image = image.numpy()
        if any(want not in (None, got) for want, got in zip(self.size, image.shape[2:])):
            raise InputError(f"{self.file} takes images of {_by(self.size)} pixels, found {_by(image.shape[2:])}. Set the "
                             "teacher's size.")
        answers = self._run([self._logits, *(self.outputs[name] for name in names)], image.astype(self._type))
        logits, *features = (paddle.to_tensor(np.ascontiguousarray(answer, np.float32)) for answer in answers)
        return self._checked(logits, len(image)), dict(zip(names, features))

    def _run(self, wanted: list[str], image: np.ndarray) -> list[np.ndarray]:
        """The outputs for a batch; where the file has a fixed batch size, in pieces of that, the last one filled up."""
        if not self._batch or not len(image):
            return self.session.run(wanted, {self._input: image})
        filled = np.concatenate([image, np.repeat(image[-1:], -len(image) % self._batch, axis=0)])
        pieces = [self.session.run(wanted, {self._input: filled[at:at + self._batch]})
                  for at in range(0, len(filled), self._batch)]
        return [np.concatenate(answers)[:len(image)] for answers in zip(*pieces)]

    def _checked(self, logits: Tensor, count: int) -> Tensor:
        if list(logits.shape) != [count, self.class_num]:
            raise InputError(f"{self.file}: output '{self._logits}' gave {list(logits.shape)} for {count} images, expected "
                             f"[{count}, {self.class_num}] as class_num says. {self._choices()}")
        if self.probabilities:
            return paddle.log(logits.clip(min=_FLOOR))
        if bool((logits >= 0).all()) and bool((logits.sum(1) - 1).abs().max() < 1e-3):
            raise InputError(f"{self.file} gives probabilities, not logits. Set probabilities: true.")
        return logits

    def _look_at_input(self) -> tuple[str, type, int | None, tuple]:
        """Name, type, batch size and image size of the input; None where any number will do."""
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise InputError(f"{self.file} has {len(inputs)} inputs ({', '.join(entry.name for entry in inputs)}); expected "
                             "one, the images.")
        shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
        if inputs[0].type not in _TYPES or len(shape) != 4 or shape[1] not in (None, 3):
            raise InputError(f"{self.file}: the input '{inputs[0].name}' is a {inputs[0].type} {inputs[0].shape}; expected "
                             "images [B, 3, height, width] in float32 or float16. Export the network anew for such images.")
        return inputs[0].name, _TYPES[inputs[0].type], shape[0], tuple(shape[2:])

    def _find_outputs(self, logits: str | None) -> str:
        """The output with the logits, once all that are named were found."""
        known = {entry.name: entry for entry in self.session.get_outputs()}
        for name in [*self.outputs.values(), *([logits] if logits else [])]:
            if name not in known:
                raise InputError(f"{self.file} has no output '{name}'. {nearest(str(name), known)} Other tensors have to be "
                                 "made outputs when the file is exported.")
        left = [logits] if logits else [name for name in known if name not in self.outputs.values()]
        if len(left) != 1:
            raise InputError(f"{self.file} has the outputs {', '.join(known)}. Say which one gives the logits: set logits to "
                             "its name.")
        shape = known[left[0]].shape
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != self.class_num):
            raise InputError(f"{self.file}: output '{left[0]}' has the shape {shape}, expected [B, {self.class_num}] as "
                             f"class_num says. {self._choices()}")
        return left[0]

    def _choices(self) -> str:
        outputs = ", ".join(f"{entry.name} {entry.shape}" for entry in self.session.get_outputs())
        return f"Correct class_num, or set logits to another output. The file has: {outputs}."


class OnnxTeacher(LiveTeacher):
    """An ONNX file as teacher.

    Args:
        engine: runs it.
        identity, view: see LiveTeacher.
    """

    def __init__(self, engine: OnnxEngine, identity: TeacherIdentity | None = None, view: OwnView | None = None):
        super().__init__(engine, identity, view)
        self.provides = engine.provides

    def show(self, names: Sequence[str], size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """See LiveTeacher; the names are those of `outputs`."""
        for name in names:
            if name not in self.engine.outputs:
                raise InputError(f"{self.engine.file}: no output is given for the teacher's feature '{name}'. "
                                 f"{nearest(name, self.engine.outputs)} Set outputs: {{{name}: NAME}}.")
        self._answer = lambda image: Outputs(*self.engine.ask(image, names))
        features = self.engine.ask(paddle.zeros([1, 3, *self.own_size(size)]), names)[1]
        return {name: tuple(features[name].shape[1:]) for name in names}


def _open(file: Path, threads: int):
    """A session of ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{file}: ONNX files need ONNX Runtime. Install it: pip install ssld[onnx] (on a GPU: pip install "
                         "onnxruntime-gpu).") from error
    if not file.is_file():
        raise InputError(f"the ONNX file {file} does not exist.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")       # who waits leaves the CPU to the student
    options.log_severity_level = 3
    wanted = [_CUDA] if paddle.get_device().startswith("gpu") else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=[*providers, _CPU])
    except Exception as error:          # ONNX Runtime has a class for each fault, and no common one
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{file} cannot be loaded as an ONNX file: {reason}") from error


def _by(size: Sequence) -> str:
    return " x ".join("any" if side is None else str(side) for side in size)
