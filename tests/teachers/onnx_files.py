"""Small networks twice: in Paddle, and as ONNX files with the same weights."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import paddle
from onnx import TensorProto, helper, numpy_helper
from paddle import nn

OPSET, IR = 17, 8


def small_network(class_num: int = 4, width: int = 6) -> nn.Sequential:
    """Convolution, ReLU, mean over the map, classifier."""
    paddle.seed(5)
    return nn.Sequential(("conv", nn.Conv2D(3, width, 3, 2, 1)), ("relu", nn.ReLU()), ("mean", nn.AdaptiveAvgPool2D(1)),
                         ("flat", nn.Flatten()), ("fc", nn.Linear(width, class_num)))


def write(file: Path, network: nn.Sequential, batch="N", size=("H", "W"), softmax: bool = False, features: bool = True,
          dtype=TensorProto.FLOAT) -> Path:
    """The network of `small_network` as an ONNX file with the outputs "logits", and "map" and "pooled" if wanted."""
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    weights = {name: value.numpy().astype(kind) for name, value in network.state_dict().items()}
    nodes = [helper.make_node("Conv", ["image", "conv.weight", "conv.bias"], ["conv"], strides=[2, 2], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["conv"], ["map"]), helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
             helper.make_node("Flatten", ["mean"], ["pooled"]),
             helper.make_node("Gemm", ["pooled", "fc.weight", "fc.bias"], ["linear" if softmax else "logits"])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["linear"], ["logits"], axis=-1))
    width, class_num = weights["fc.weight"].shape
    outputs = [helper.make_tensor_value_info("logits", dtype, [batch, class_num])]
    if features:
        outputs += [helper.make_tensor_value_info("map", dtype, [batch, width, None, None]),
                    helper.make_tensor_value_info("pooled", dtype, [batch, width])]
    images = helper.make_tensor_value_info("image", dtype, [batch, 3, *size])
    graph = helper.make_graph(nodes, "small", [images], outputs, [numpy_helper.from_array(value, name)
                                                                  for name, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR), str(file))
    return file


def write_flatten(file: Path, dtype=TensorProto.FLOAT, shape=("N", 3, 2, 2), width="D") -> Path:
    """A file whose answer is its input, flattened; `width` is what it says of that."""
    graph = helper.make_graph([helper.make_node("Flatten", ["image"], ["logits"])], "flatten",
                              [helper.make_tensor_value_info("image", dtype, shape)],
                              [helper.make_tensor_value_info("logits", dtype, ["N", width])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR), str(file))
    return file


def images(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([count, size, seed]).normal(size=(count, 3, size, size)).astype(np.float32)
