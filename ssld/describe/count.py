"""Parameters and multiply-adds of a network, counted from shapes: nothing is computed."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import paddle
from paddle import nn
from paddle.static import InputSpec

from ..errors import InputError
from ..methods.base import Cost

_STATISTICS = ("_mean", "_variance")            # running averages of batch norm, which Paddle counts as parameters


def parameter_count(network: nn.Layer) -> int:
    """Weights of a network, frozen ones included, without the running statistics of batch norm."""
    return sum(parameter.size for name, parameter in network.named_parameters() if not name.endswith(_STATISTICS))


def cost_of(network: nn.Layer, size: tuple[int, int]) -> Cost:
    """Parameters of a network, and its multiply-adds for one image.

    Counted are convolutions and products of matrices, those of attention among them; a multiplication and its addition are one.
    What is done value by value (norms, activations, sums, pooling) is left out, as usual.

    Args:
        network: float32 [B, 3, H, W] -> anything; its mode stays as it is.
        size: height and width of an image, pixels.

    Raises:
        InputError: Paddle cannot write the network down as a program.
    """
    program = _program(network, size)           # has to live as long as its operations are looked at
    return Cost(parameter_count(network), sum(map(_multiply_adds, _operations(program.global_block()))))


def _program(network: nn.Layer, size: tuple[int, int]):
    """The network on one image as a program of Paddle, with the shapes of everything in it."""
    training = {name: layer.training for name, layer in network.named_sublayers(include_self=True)}
    network.eval()
    try:
        traced = paddle.jit.to_static(network.forward, input_spec=[InputSpec([1, 3, *size], "float32")], full_graph=True)
        return traced.concrete_program.main_program
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise InputError(f"the multiply-adds of {type(network).__name__} are not known: Paddle cannot write it as a program "
                         f"({type(error).__name__}: {str(error).strip().splitlines()[-1][:200]}).") from error
    finally:
        for name, layer in network.named_sublayers(include_self=True):
            layer.training = training[name]


def _operations(block) -> Iterator:
    """Everything that is done, what is done under a condition included."""
    for operation in block.ops:
        yield operation
        for inner in operation.blocks():
            yield from _operations(inner)


def _multiply_adds(operation) -> int:
    count = _COUNTS.get(operation.name().removeprefix("pd_op."))
    return count(operation) if count else 0


def _convolution(operation) -> int:
    """Every value of the result is a sum over the channels of its group and the kernel."""
    return prod(_result(operation)) * prod(_operand(operation, 1)[1:])


def _transposed_convolution(operation) -> int:
    """Every value that goes in is spread over the channels of its group and the kernel."""
    return prod(_operand(operation, 0)) * prod(_operand(operation, 1)[1:])


def _product(operation) -> int:
    """Every value of the result is a sum over the side that the two factors share."""
    left, transposed = _operand(operation, 0), operation.attrs().get("transpose_x", False)
    return prod(_result(operation)) * left[-2 if transposed and len(left) > 1 else -1]


def _result(operation) -> list[int]:
    return operation.results()[0].shape


def _operand(operation, place: int) -> list[int]:
    return operation.operands()[place].source().shape


_COUNTS: Mapping = {"conv2d": _convolution, "depthwise_conv2d": _convolution, "conv2d_transpose": _transposed_convolution,
                    "depthwise_conv2d_transpose": _transposed_convolution, "matmul": _product, "bmm": _product, "mv": _product}
