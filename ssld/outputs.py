"""What flows between data, networks and losses.

A batch is a dict of tensors:
    "image"       float32 [B, 3, H, W], normalised
    "label"       int64 [B], -1 = unlabelled
    "index"       int64 [B], row of the image in its manifest
    "partner", "share"  int64 [B] and float32 [B], where images were mixed: the row mixed in, and the weight of the own one;
                  labels stay unmixed, whoever reads them applies these (see ssld.data.mix)
    "label_ids", "label_excess", "label_rest"  what a store of soft labels says of each crop, see ssld.softlabels.targets;
                  or "soft_label", float32 [B, class_num], of a store that keeps whole distributions
    "teacher_logits"  float32 [B, class_num], where a teacher was asked about all images beforehand
Several crops of one image are simply several rows.
"""
from __future__ import annotations

from typing import NamedTuple, Optional

import paddle
from paddle import Tensor

Batch = dict            # dict[str, Tensor], the keys are listed above
DISTILLATION_LOGITS = "distillation_logits"     # in Outputs.aux: [B, class_num] of a head that learns from the teacher alone


class Outputs(NamedTuple):
    """What any network says about a batch.

    Attributes:
        logits: [B, class_num], defined up to a constant per row.
        features: tap name -> [B, C, H, W] or [B, N, D], as the layer gave it.
        aux: what the model computed itself, such as a detector's own loss or the logits of a second head.
    """

    logits: Tensor
    features: dict[str, Tensor] = {}
    aux: Optional[dict] = None

    @property
    def class_num(self) -> int:
        """Number of classes."""
        return self.logits.shape[-1]

    def cross_entropy(self, log_p: Tensor) -> Tensor:
        """- sum_c q_c log p_c of each row, with the distribution q of these logits: [B, class_num] -> [B].

        q is a target: it gets no gradient.
        """
        return -(log_softmax(self.logits.detach()).exp() * log_p).sum(-1)

    @property
    def unmixed(self) -> Outputs:
        """What is said of each image before it was mixed; who is asked about mixed images has nothing else to say."""
        return self

    def entropy(self) -> Tensor:
        """- sum_c q_c log q_c of each row, float32 [B]."""
        return self.cross_entropy(log_softmax(self.logits))


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logarithm of the softmax of logits / temperature over the last axis, float32, exact for any gap between logits.

    The division comes after the cast, since float16 overflows above 65504. Paddle's CPU kernel raises everything below
    -64 to -64, which would stop the gradient of a confidently wrong student; logsumexp does not.
    """
    logits = logits.astype("float32") / temperature
    return logits - paddle.logsumexp(logits, axis=-1, keepdim=True)


class Losses(NamedTuple):
    """What a Distiller says about a batch.

    Attributes:
        total: scalar, the weighted sum to minimise.
        parts: name of each loss term -> its scalar, unweighted; where a term is a sum, also "term/part" -> the part's.
        logits: the student's, [B, class_num], without gradient.
        minima: name of a loss term -> the least value it can take on this batch, where that is not 0.
    """

    total: Tensor
    parts: dict[str, Tensor]
    logits: Tensor
    minima: dict[str, Tensor] = {}

    def detached(self) -> Losses:
        """The values of the losses alone, without what the gradient and the logits hold in memory."""
        return Losses(self.total.detach(), {name: part.detach() for name, part in self.parts.items()}, None,
                      self.minima)
