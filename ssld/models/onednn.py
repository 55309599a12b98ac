"""Training a network's convolutions with oneDNN's kernels on CPU, while everything else stays eager."""
from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import paddle
from paddle import Tensor, nn

from ..errors import InputError

_TOLERANCE = 1e-4               # of the largest value; float32 rounding in another order of summation


def use_onednn(network: nn.Layer) -> int:
    """Let the convolutions of `network` train through oneDNN.

    Paddle's eager mode has no oneDNN kernels, but a static program has them where an operator asks for them. So each
    convolution wider than one pixel becomes a program of that operator and its gradient, called from eager mode.
    Parameters, their names, batch norm, pooling and activations stay what they are; results differ by float32 rounding.
    Pointwise convolutions stay eager: there the matrix product of eager mode is faster than oneDNN with its changes of
    layout. So do convolutions in evaluation mode, without gradient, frozen, or of other types than float32.

    Args:
        network: is changed in place.

    Returns:
        How many convolutions train through oneDNN.

    Raises:
        InputError: not on CPU, this Paddle cannot do it, or the network has no such convolution.
    """
    _check_paddle()
    layers = [layer for layer in network.sublayers(include_self=True) if type(layer) is nn.Conv2D and _fits(layer)]
    if not layers:
        raise InputError(f"engine: onednn speeds up convolutions wider than one pixel, but {type(network).__name__} has none. "
                         "Use engine: eager.")
    for layer in layers:
        layer.__class__ = _OneDNNConv2D
    return len(layers)


class _OneDNNConv2D(nn.Conv2D):
    """A Conv2D whose training step runs as a static program; made of a Conv2D by changing its class."""

    def forward(self, x):
        weight = self.weight
        trains = self.training and paddle.is_grad_enabled() and not weight.stop_gradient
        if not trains or x.dtype != paddle.float32 or weight.dtype != paddle.float32:
            return nn.Conv2D.forward(self, x)
        y = _program(_spec(self, x))(x, weight)
        return y if self.bias is None else y + self.bias.reshape([1, -1, 1, 1])


class _Spec(NamedTuple):
    """All that a program depends on; `image_gradient` is needless for the pictures themselves."""

    operator: str
    image: tuple[int, ...]
    filter: tuple[int, ...]
    image_gradient: bool
    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    padding_algorithm: str
    dilations: tuple[int, ...]
    groups: int


def _fits(layer: nn.Conv2D) -> bool:
    return max(layer._kernel_size) > 1 and layer._padding_mode == "zeros" and layer._data_format == "NCHW"


def _spec(layer: nn.Conv2D, x: Tensor) -> _Spec:
    return _Spec(layer._op_type, tuple(x.shape), tuple(layer.weight.shape), not x.stop_gradient, tuple(layer._stride),
                 tuple(layer._updated_padding), layer._padding_algorithm, tuple(layer._dilation), layer._groups)


@functools.cache
def _program(spec: _Spec) -> _ConvolutionProgram:
    """Layers of equal shapes share a program."""
    return _ConvolutionProgram(spec)


class _ConvolutionProgram:
    """One convolution and its gradient as a static program on eager tensors: image, filter -> result."""

    def __init__(self, spec: _Spec):
        from paddle.base import core
        from paddle.jit.dy2static.partial_program import PartialProgramLayer
        from paddle.jit.dy2static.utils import Backend
        from paddle.pir_utils import OldIrGuard
        self._core = core
        with OldIrGuard():          # the newer representation has no way to ask a single operator for oneDNN
            program, inputs, output = _describe(spec)
            partial = PartialProgramLayer(program, inputs, [output], [], backend=Backend.PHI)
            self._attributes = [*partial._prepare_attributes(), "x_names", [variable.name for variable in inputs]]
        self._outputs, self._no_graph = partial._out_var_descs, partial._cuda_graph_vec
        self._keep = partial        # owns the descriptions that the attributes point to
        self._scopes: list = []

    def __call__(self, image: Tensor, weight: Tensor) -> Tensor:
        outputs = self._core.create_empty_tensors_with_var_descs(self._outputs)
        paddle._legacy_C_ops.run_program([image, weight], None, outputs, [self._scope()], self._no_graph, *self._attributes)
        return outputs[0]

    def _scope(self):
        """A place for the program's variables; one is in use from a forward pass to its backward pass."""
        for scope in self._scopes:
            if scope._can_reused:
                return scope
        self._scopes.append(self._core.Scope())
        return self._scopes[-1]


def _describe(spec: _Spec) -> tuple:
    """A static program with the convolution alone; its inputs, its output."""
    program = paddle.static.Program()
    # Paddle keeps oneDNN's primitives by the names of the variables, so no two programs may share a name
    name = paddle.utils.unique_name.generate("onednn_conv")
    with paddle.static.program_guard(program, paddle.static.Program()):
        image, weight = (paddle.static.data(f"{name}_{part}", list(shape), "float32")
                         for part, shape in (("image", spec.image), ("filter", spec.filter)))
        image.stop_gradient, weight.stop_gradient = not spec.image_gradient, False
        block = program.global_block()
        output = block.create_var(name=f"{name}_output", dtype="float32")
        block.append_op(type=spec.operator, inputs={"Input": [image], "Filter": [weight]}, outputs={"Output": [output]},
                        attrs={"strides": list(spec.strides), "paddings": list(spec.paddings), "groups": spec.groups,
                               "padding_algorithm": spec.padding_algorithm, "dilations": list(spec.dilations),
                               "data_format": "NCHW", "use_mkldnn": True})
    return program, [image, weight], output


@functools.cache
def _check_paddle() -> None:
    """Compare one convolution and its gradients with eager mode's; the way here is not part of Paddle's public API."""
    if not paddle.get_device().startswith("cpu"):
        raise InputError(f"engine: onednn runs on CPU, but the device is {paddle.get_device()}. Use engine: eager.")
    weights = np.cos(np.arange(4 * 2 * 3 * 3, dtype="float32")).reshape(4, 2, 3, 3)      # a random draw would shift later ones
    layer = nn.Conv2D(2, 4, 3, padding=1, weight_attr=nn.initializer.Assign(weights))
    image = paddle.linspace(-1, 1, 2 * 2 * 5 * 5).reshape([2, 2, 5, 5])
    image.stop_gradient = False
    try:
        expected, found = (_step(layer, kind, image) for kind in (nn.Conv2D, _OneDNNConv2D))
    except Exception as error:      # of whatever another version of Paddle raises
        raise InputError(f"engine: onednn does not work with this Paddle ({paddle.__version__}): {error} "
                         "Use engine: eager.") from error
    for a, b in zip(expected, found):
        if not float((a - b).abs().max()) <= _TOLERANCE * float(a.abs().max()):
            raise InputError(f"engine: onednn gives other results than eager mode with this Paddle ({paddle.__version__}). "
                             "Use engine: eager.")


def _step(layer: nn.Conv2D, kind: type, image: Tensor) -> tuple[Tensor, ...]:
    """The output of a convolution and the gradients of its squared sum."""
    layer.__class__ = kind
    output = layer(image)
    return (output, *paddle.grad(output.square().sum(), [image, layer.weight, layer.bias]))
