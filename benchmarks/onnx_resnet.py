"""A ResNet of PaddleClas as an ONNX file, so that ONNX Runtime can be compared with Paddle's engines on equal weights.

No converter is needed: the few operators of a ResNet are written down here.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 8
_EPSILON = 1e-5             # of batch normalisation


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(self, state: dict):
        self.state, self.nodes, self.weights = {name: value.numpy() for name, value in state.items()}, [], []

    def add(self, kind: str, *inputs: str, weights: tuple[str, ...] = (), **attributes) -> str:
        """A node behind `inputs`; returns the name of its output."""
        self.weights += [numpy_helper.from_array(np.ascontiguousarray(self.state[name]), name) for name in weights]
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs, *weights], [output], **attributes))
        return output

    def conv_bn(self, x: str, name: str, layer, relu: bool) -> str:
        """A ConvBNLayer of PaddleClas."""
        side, stride = layer.conv.weight.shape[2], layer.conv._stride[0]
        if layer.is_vd_mode:
            x = self.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        x = self.add("Conv", x, weights=(f"{name}.conv.weight",), strides=[stride] * 2, pads=[side // 2] * 4)
        x = self.add("BatchNormalization", x, epsilon=_EPSILON,
                     weights=tuple(f"{name}.bn.{leaf}" for leaf in ("weight", "bias", "_mean", "_variance")))
        return self.add("Relu", x) if relu else x


def write_resnet(network, file: str | Path) -> None:
    """Write a ResNet of PaddleClas in evaluation mode: images float32 [B, 3, H, W] -> logits.

    Args:
        network: ResNet18 ... ResNet200_vd.
        file: ends in .onnx.
    """
    graph = _Graph(network.state_dict())
    x = "image"
    for place, layer in enumerate(network.stem):
        x = graph.conv_bn(x, f"stem.{place}", layer, True)
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for place, block in enumerate(network.blocks):
        name, y = f"blocks.{place}", x
        layers = [part for part in ("conv0", "conv1", "conv2") if hasattr(block, part)]
        for part in layers:
            y = graph.conv_bn(y, f"{name}.{part}", getattr(block, part), part != layers[-1])
        short = x if block.shortcut else graph.conv_bn(x, f"{name}.short", block.short, False)
        x = graph.add("Relu", graph.add("Add", y, short))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    x = graph.add("Gemm", x, weights=("fc.weight", "fc.bias"))
    images = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, "H", "W"])
    logits = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["B", network.class_num])
    made = helper.make_graph(graph.nodes, "resnet", [images], [logits], graph.weights)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR), str(file))
