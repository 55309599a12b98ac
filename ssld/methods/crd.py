"""CRD: contrastive representation distillation, with a memory bank of all training images."""
from __future__ import annotations

import math

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import below_one, positive, positive_int
from ..device import world_size
from .base import METHODS, Method
from .linear import linear
from .negatives import Negatives

_EPSILON = 1e-7


@METHODS.register
class CRDLoss(Method):
    """Student and teacher shall embed an image alike, and apart from K images of other classes: NCE(o_s) + NCE(o_t).

        o_s[b, k] = exp(<M_t[i_k], v_s[b]> / T) / Z_s          i_0 the image itself, i_1 .. i_K the negatives
        NCE(o) = - mean over b of ( log o_0 / (o_0 + P) + sum over k > 0 of log P / (o_k + P) ),   P = K / N

    v_s and v_t are linear embeddings of the pooled features, scaled to length 1; both train along. The banks M_s and M_t [N,
    embedding] hold an average of them for each of the N training images: the student's v is compared with the teacher's bank
    and the reverse. After each batch M[i] <- m M[i] + (1 - m) v, scaled to length 1, with the images of all processes; v of
    an image that is there several times is their mean. Z_s and Z_t, N times the mean exp(...) of the first batch, stay fixed.

    Where images were mixed, i is the own image. An image without a label has every other image for a negative. The banks
    are in training.npz, 1.3 GB for ImageNet-1k, and are not exported.

    Args:
        embedding: width of the embeddings.
        negatives: K.
        momentum: m, in [0, 1).
        temperature: T, > 0.
        chunk: negatives looked up at a time; more take more memory, batch x chunk x embedding x 4 bytes.
        student_tap, teacher_tap: the features, flattened.

    Source: Tian et al., "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699, equations
    10, 17 and 18.
    """

    needs = frozenset({"features", "index"})

    def __init__(self, embedding: int = 128, negatives: int = 16384, momentum: float = 0.5, temperature: float = 0.07,
                 chunk: int = 256, student_tap: str = "pool", teacher_tap: str = "pool"):
        super().__init__()
        self.width, self.count = positive_int("embedding", embedding), positive_int("negatives", negatives)
        self.momentum, self.temperature = below_one("momentum", momentum), positive("temperature", temperature)
        self.chunk = positive_int("chunk", chunk)
        self.student_taps, self.teacher_taps = (student_tap,), (teacher_tap,)

    def attach(self, site):
        self.negatives = Negatives(site.labels)
        self.of_student = linear(math.prod(site.student[self.student_taps[0]]), self.width)
        self.of_teacher = linear(math.prod(site.teacher[self.teacher_taps[0]]), self.width)
        rng = np.random.default_rng(site.seed)
        self.student_bank, self.teacher_bank = (Bank(len(site.labels), self.width, rng) for _ in range(2))

    def forward(self, student, teacher, batch):
        f_s, f_t = student.features[self.student_taps[0]], teacher.features[self.teacher_taps[0]].detach()
        index = batch["index"]
        negatives = self.negatives.draw(batch["label"], index, self.count)      # a label of -1 will do, so "label" is no need
        with paddle.amp.auto_cast(enable=False):                    # float32 also where the networks are not
            v_s, v_t = (F.normalize(embed(features.astype("float32").flatten(1)))
                        for embed, features in ((self.of_student, f_s), (self.of_teacher, f_t)))
            loss = sum(bank.contrast(v / self.temperature, index, negatives, self.chunk)
                       for bank, v in ((self.teacher_bank, v_s), (self.student_bank, v_t)))
            self._remember(index, paddle.concat([v_s, v_t], axis=1).detach())
        return loss

    @paddle.no_grad()
    def _remember(self, index: Tensor, rows: Tensor) -> None:
        """Move the banks towards v_s and v_t, `rows` [B, 2 embedding], of all processes, which so stay the same in all."""
        index, rows = of_all_processes(index), of_all_processes(rows)
        same = (index.unsqueeze(1) == index).astype("float32")
        mean = same @ rows / same.sum(-1, keepdim=True)
        mean = paddle.gather(mean, same.argmax(-1))         # of the first one like it: the same to the bit, whoever writes last
        for bank, part in zip((self.student_bank, self.teacher_bank), mean.split(2, axis=1)):
            bank.move(index, part, self.momentum)


class Bank(nn.Layer):
    """A row for each training image, and the constant that turns scores against these rows into probabilities.

    Args:
        count: N, training images.
        width: of a row.
        rng: draws the first rows, uniform within 1 / sqrt(width / 3).
    """

    def __init__(self, count: int, width: int, rng: np.random.Generator):
        super().__init__()
        bound = math.sqrt(3 / width)
        rows = rng.random((count, width), dtype=np.float32)
        rows *= 2 * bound
        rows -= bound
        self.register_buffer("rows", paddle.to_tensor(rows))
        self.register_buffer("z", paddle.zeros([1]))            # 0 until the first batch

    def contrast(self, query: Tensor, index: Tensor, negatives: Tensor, chunk: int) -> Tensor:
        """NCE of the scores <row, query>, a scalar; see CRDLoss.

        The derivative in the query is summed along with the loss: what is looked up (K rows for each image) need not be kept
        until the backward pass, by when the rows have moved on.

        Args:
            query: float32 [B, width].
            index: int64 [B], the rows that belong to the queries.
            negatives: int32 [B, K], rows that do not.
            chunk: negatives looked up at a time.
        """
        loss, slope = self._loss_and_slope(query.detach(), index, negatives, chunk)
        linear_part = (slope * query).sum()
        return linear_part + (loss - linear_part.detach())

    @paddle.no_grad()
    def move(self, index: Tensor, rows: Tensor, momentum: float) -> None:
        """row <- momentum row + (1 - momentum) new row, scaled to length 1, in place; equal indices bring equal rows."""
        moved = F.normalize(momentum * paddle.gather(self.rows, index) + (1 - momentum) * rows)
        paddle.scatter_(self.rows, index, moved)

    @paddle.no_grad()
    def _loss_and_slope(self, query, index, negatives, chunk):
        parts, batch = paddle.split(negatives, _sections(negatives.shape[1], chunk), axis=1), len(index)
        own = self._look_up(index.unsqueeze(1))
        z = self._constant(query, own, parts)
        noise = negatives.shape[1] / len(self.rows)
        odds = _exp_scores(own, query) / z
        loss = paddle.log1p((noise + _EPSILON) / odds).sum()
        slope = -((noise + _EPSILON) / (odds + noise + _EPSILON)).unsqueeze(1) @ own
        for part in parts:
            rows = self._look_up(part)
            odds = _exp_scores(rows, query) / z
            loss += paddle.log1p((odds + _EPSILON) / noise).sum()           # exact also where odds are far below the noise
            slope += (odds / (odds + noise + _EPSILON)).unsqueeze(1) @ rows
        return loss / batch, slope.squeeze(1) / batch

    def _constant(self, query, own, parts):
        """Z: N times the mean exp(score) of the first batch of all processes; fixed from then on."""
        if not float(self.z):
            total = _exp_scores(own, query).sum()
            for part in parts:
                total += _exp_scores(self._look_up(part), query).sum()
            mean = total / (len(query) * (1 + sum(part.shape[1] for part in parts)))
            self.z.set_value(len(self.rows) * of_all_processes(mean.reshape([1])).mean(keepdim=True))
        return self.z

    def _look_up(self, index: Tensor) -> Tensor:
        """Rows [B, k, width] of indices [B, k]."""
        return paddle.gather(self.rows, index.flatten()).reshape([*index.shape, -1])


def of_all_processes(rows: Tensor) -> Tensor:
    """The rows of all processes, one process after the other; each brings the same number. No gradient passes."""
    if world_size() == 1:
        return rows
    parts: list = []
    dist.all_gather(parts, rows)
    return paddle.concat(parts)


def _exp_scores(rows: Tensor, query: Tensor) -> Tensor:
    """exp <row, query>: [B, k, width], [B, width] -> [B, k]."""
    return (rows @ query.unsqueeze(-1)).squeeze(-1).exp()


def _sections(total: int, size: int) -> list[int]:
    """`total` as a sum of parts of `size`, the last one perhaps smaller."""
    return [min(size, total - first) for first in range(0, total, size)]
