"""What must hold for the Fix stage: only the classifier trains, and it sees images as the evaluation does."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import yaml
from paddle import nn

from ..data.transforms import build_transforms
from ..errors import InputError
from ..models.freeze import Frozen
from ..models.stages import stages_of

_FIXED_INPUT = ("pos_embed", "relative_position", "mlp_tokens")


def check_fix_stage(network: nn.Layer, frozen: Frozen | None, train_ops: Sequence, eval_ops: Sequence,
                    size: tuple[int, int]) -> None:
    """Refuse a Fix stage that would not fix the discrepancy between training and test resolution.

    Args:
        network: the student.
        frozen: its frozen part.
        train_ops, eval_ops: `transform_ops` of training and evaluation.
        size: height and width of the images that they make, pixels.

    Raises:
        InputError: more than the classifier trains; training and evaluation preprocess differently, or at random; the
            size is no multiple of the network's stride; the network's input size is fixed; or what is called its
            classifier is not a last linear layer.

    Source: Touvron et al., "Fixing the train-test resolution discrepancy", arXiv:1906.06423; its use in SSLD:
    arXiv:2103.05959.
    """
    stages = stages_of(network)
    if frozen is None or frozen.trainable != [stages.classifier]:
        raise InputError("fix_resolution trains the classifier alone: set Arch.student.trainable: [classifier].")
    if list(train_ops) != list(eval_ops) or build_transforms(train_ops, "DataLoader.Train").random:
        raise InputError("fix_resolution needs the evaluation's preprocessing in training, without random operators. "
                         f"Training has\n{yaml.safe_dump(list(train_ops))}evaluation has\n{yaml.safe_dump(list(eval_ops))}"
                         "Make them the same list.")
    if any(side % stages.stride for side in size):
        raise InputError(f"fix_resolution: images of {size[1]} x {size[0]} pixels are no multiple of the stride "
                         f"{stages.stride} of {stages.family}; the last pixels would be cut off. Choose another crop size.")
    fixed = [name for name, _ in network.named_parameters() if any(part in name for part in _FIXED_INPUT)]
    if fixed:
        raise InputError(f"fix_resolution: {type(network).__name__} has a fixed input size ({fixed[0]} depends on it), so it "
                         "cannot change resolution.")
    _check_classifier(network, frozen, size)


def _check_classifier(network: nn.Layer, frozen: Frozen, size: tuple[int, int]) -> None:
    """Refuse a classifier that is not one linear layer at the end, by running the network on one picture."""
    name, made = frozen.trainable[0], []
    classifier = dict(network.named_sublayers()).get(name)
    if isinstance(classifier, nn.Linear):
        hook = classifier.register_forward_post_hook(lambda layer, inputs, output: made.append(output))
        frozen.hold()                   # batch norm would take note of the picture
        with paddle.no_grad():
            logits = network(paddle.linspace(-1, 1, 3 * size[0] * size[1]).reshape([1, 3, *size]))
        hook.remove()
    if not made or not np.array_equal(made[-1].numpy(), logits.numpy(), equal_nan=True):
        raise InputError(f"fix_resolution: '{name}' of {type(network).__name__} is not a linear layer whose output is the "
                         "network's answer, so it is not the classifier. Correct its row in ssld/models/stages.py.")
