"""VkD: features of the student, projected orthogonally, against normalised features of the teacher."""
from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import fraction, not_negative, one_of
from ..errors import InputError
from ..models.orthogonal import MAPS, OrthogonalProjection
from .base import METHODS, Method

_LEAST_VARIANCE = 1e-20         # the root of 0 has no slope
_LEAST_OWN_VARIANCE = 1e-10     # share that other channels do not explain; rounding of float32 leaves about 1e-14
_POOLINGS = ("mean", "none")


@METHODS.register
class VkDLoss(Method):
    """Smooth L1 between projected student features and normalised teacher features, mean over all their elements:

        SmoothL1(s W^T, normalize(t)),    0.5 x^2 where |x| < 1, else |x| - 0.5

    W [d_t, d_s] has orthonormal columns (`ssld.models.orthogonal`), so it keeps the geometry of the student's features and the
    student has to learn the teacher's. W trains along, never decays, and is not exported.

        layernorm      each row of t less its mean, divided by sqrt(variance + epsilon): for classification
        standardize    each channel of both sides less its mean over the rows, divided by (unbiased deviation + epsilon): for
                       detection
        whiten         t decorrelated over the rows by the Cholesky factor L of (1 - epsilon) covariance + epsilon I,
                       (t - mean) L^-T: for generating images; more rows than channels, or an epsilon above 0
        none           t as it is

    Rows are the images of the batch; with `pooling: none`, all positions of all of them. Under several processes each
    normalises over its own. The sum over `pairs` is the loss; the authors advise against matching many layers.

    Args:
        normalize: see above.
        pairs: names of a student's and a teacher's feature each, see `ssld.models.tap`.
        pooling: mean over the positions of maps [C, H, W] and tokens [N, D], or none: then both have as many positions.
        student_skip, teacher_skip: leading tokens that are no patches, such as the class token; they are left out.
        epsilon: null: 1e-5, 1e-6, 0 for the three normalisations.
        map, trivialize: of the projection.

    Raises:
        InputError: features that cannot be compared; when it runs, a batch too small to be whitened or standardised.

    Source: Miles et al., "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024, arXiv:2403.06213,
    sections 3 and 4, and its released code. Different: epsilon in `standardize`, without which a constant channel is not a
    number.
    """

    needs = frozenset({"features"})

    def __init__(self, normalize: str = "layernorm", pairs: Sequence[Sequence[str]] = (("pool", "pool"),),
                 pooling: str = "mean", student_skip: int = 0, teacher_skip: int = 0, epsilon: float | None = None,
                 map: str = "householder", trivialize: bool = False):
        super().__init__()
        self.normalization, usual = one_of("normalize", normalize, _NORMALIZATIONS)
        self.epsilon = usual if epsilon is None else not_negative("epsilon", epsilon)
        if normalize == "whiten":
            fraction("epsilon", self.epsilon)
        self.both_sides = normalize == "standardize"
        self.pooling = one_of("pooling", pooling, _POOLINGS)
        self.skips = not_negative("student_skip", student_skip), not_negative("teacher_skip", teacher_skip)
        self.pairs = [_pair(pair) for pair in pairs]
        if not self.pairs:
            raise InputError("pairs is empty: expected at least one [student feature, teacher feature], such as [pool, pool].")
        self.student_taps, self.teacher_taps = (tuple(names) for names in zip(*self.pairs))
        self.options = {"map": one_of("map", map, MAPS), "trivialize": one_of("trivialize", trivialize, (True, False))}
        self.projections = nn.LayerList()

    def attach(self, site):
        for student, teacher in self.pairs:
            (d_s, at_s), (d_t, at_t) = (_layout(shapes[name], name, skip) for shapes, name, skip in
                                        zip((site.student, site.teacher), (student, teacher), self.skips))
            if self.pooling == "none" and at_s != at_t:
                raise InputError(f"the student's {student} has {at_s} positions, the teacher's {teacher} {at_t}, so they "
                                 "cannot be compared one by one. Use pooling: mean, or features of equal resolution.")
            self.projections.append(OrthogonalProjection(d_s, d_t, **self.options))

    def forward(self, student, teacher, batch):
        return sum(self._compare(self.projections[place], student.features[of_student], teacher.features[of_teacher])
                   for place, (of_student, of_teacher) in enumerate(self.pairs))

    def diagnostics(self) -> dict[str, float]:
        """How far the projections are from orthonormal: the largest element of |W^T W - I|."""
        return {"orthogonality_error": max(projection.orthogonality_error() for projection in self.projections)}

    def _compare(self, projection: OrthogonalProjection, student: Tensor, teacher: Tensor) -> Tensor:
        mine, theirs = (_rows(feature, self.pooling, skip) for feature, skip in zip((student, teacher), self.skips))
        with paddle.amp.auto_cast(enable=False):
            mine, theirs = projection(mine), self.normalization(theirs.detach(), self.epsilon)
            return F.smooth_l1_loss(self.normalization(mine, self.epsilon) if self.both_sides else mine, theirs)


def layernorm(rows: Tensor, epsilon: float) -> Tensor:
    """Each row with mean 0 and (biased) variance 1: [n, d] -> [n, d]."""
    centred = rows - rows.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + epsilon).sqrt()


def standardize(rows: Tensor, epsilon: float) -> Tensor:
    """Each channel with mean 0 and (unbiased) deviation 1 over the rows: [n, d] -> [n, d].

    Raises:
        InputError: a single row, which has no deviation.
    """
    if len(rows) < 2:
        raise InputError("normalize: standardize needs at least two rows, found one. Enlarge batch_size.")
    centred = rows - rows.mean(0)
    variance = centred.square().sum(0) / (len(rows) - 1)
    return centred / (variance.clip(min=_LEAST_VARIANCE).sqrt() + epsilon)


@paddle.no_grad()
def whiten(rows: Tensor, epsilon: float) -> Tensor:
    """Rows whose covariance is the identity, without gradient: [n, d] -> float32 [n, d].

    Raises:
        InputError: the covariance has no inverse.
    """
    count, width = rows.shape
    if count <= width and not epsilon:
        raise InputError(f"normalize: whiten needs more rows than channels, found {count} rows of {width} channels. Set "
                         "epsilon (such as 1e-3), enlarge batch_size, or use pooling: none.")
    centred = rows.astype("float64") - rows.astype("float64").mean(0)
    covariance = (1 - epsilon) * centred.T @ centred / (count - 1) + epsilon * paddle.eye(width, dtype="float64")
    factor = _cholesky(covariance)
    if factor is None:
        raise InputError("normalize: whiten found teacher channels that depend on each other or never vary, so their "
                         "covariance has no inverse. Set epsilon (such as 1e-3).")
    return paddle.linalg.triangular_solve(factor, centred.T, upper=False).T.astype("float32")


def _cholesky(covariance: Tensor) -> Tensor | None:
    """Its lower factor; None where a channel has next to no variance of its own."""
    try:
        factor = paddle.linalg.cholesky(covariance)
    except ValueError:                  # on CPU; other devices answer with what is not a number
        return None
    own = paddle.diag(factor).square() / paddle.diag(covariance)
    return factor if bool((own > _LEAST_OWN_VARIANCE).all()) else None


def as_it_is(rows: Tensor, epsilon: float) -> Tensor:
    """[n, d] -> the same."""
    return rows


# name -> function, its usual epsilon
_NORMALIZATIONS = {"layernorm": (layernorm, 1e-5), "standardize": (standardize, 1e-6), "whiten": (whiten, 0.0),
                   "none": (as_it_is, 0.0)}


def _pair(pair) -> tuple[str, str]:
    if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
        raise InputError(f"pairs must be a list of [student feature, teacher feature], such as [pool, pool]; found {pair!r}.")
    return tuple(pair)


def _layout(shape: tuple[int, ...], name: str, skip: int) -> tuple[int, int]:
    """Channels and positions of a feature, (C, H, W), (N, D) or (D,)."""
    if len(shape) == 3:
        return shape[0], shape[1] * shape[2]
    if len(shape) == 2:
        if skip >= shape[0]:
            raise InputError(f"feature {name} has {shape[0]} tokens, of which {skip} would be left out. Lower the skip.")
        return shape[1], shape[0] - skip
    return shape[0], 1


def _rows(feature: Tensor, pooling: str, skip: int) -> Tensor:
    """[B, C, H, W], [B, N, D] or [B, D] -> float32 [B, channels], or [B x positions, channels] without pooling."""
    feature = feature.astype("float32")
    if feature.ndim == 4:
        feature = feature.flatten(2).transpose([0, 2, 1])
    elif feature.ndim == 3:
        feature = feature[:, skip:]
    else:
        return feature
    return feature.mean(1) if pooling == "mean" else feature.flatten(0, 1)
