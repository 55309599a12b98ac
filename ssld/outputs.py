"""What flows between data, networks and losses.

A batch is a dict of tensors:
    "image"       float32 [B, 3, H, W], normalised
    "label"       int64 [B], -1 = unlabelled
    "index"       int64 [B], row of the image in its manifest
    "soft_label"  float32 [B, class_num], where labels are stored with the images
    "teacher_logits"  float32 [B, class_num], where a teacher was asked about all images beforehand
Several crops of one image are simply several rows.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from paddle import Tensor

Batch = dict            # dict[str, Tensor], the keys are listed above


class Outputs(NamedTuple):
    """What any network says about a batch.

    Attributes:
        logits: [B, class_num], defined up to a constant per row.
        features: tap name -> [B, C, H, W] or [B, N, D], as the layer gave it.
        aux: what the model computed itself, such as a detector's own loss.
    """

    logits: Tensor
    features: dict[str, Tensor] = {}
    aux: Optional[dict] = None


class Losses(NamedTuple):
    """What a Distiller says about a batch.

    Attributes:
        total: scalar, the weighted sum to minimise.
        parts: name of each loss term -> its scalar, unweighted.
        logits: the student's, [B, class_num].
    """

    total: Tensor
    parts: dict[str, Tensor]
    logits: Tensor

    def detached(self) -> Losses:
        """The values of the losses alone, without what the gradient and the logits hold in memory."""
        return Losses(self.total.detach(), {name: part.detach() for name, part in self.parts.items()}, None)
