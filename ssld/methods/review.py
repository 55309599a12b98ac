"""ReviewKD: each level of the student, joined with all deeper ones, against that level of the teacher."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import paddle
from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F

from ..checks import positive_int
from ..errors import InputError
from ..models.maps import as_map, channels_of, grid_of
from .base import METHODS, Method

_LEVELS = ("pre_stage1", "pre_stage2", "pre_stage3", "pre_stage4", "pool")
_POOLED_SIZES = (4, 2, 1)


@METHODS.register
class ReviewKDLoss(Method):
    """Sum over levels of the distance between the teacher's map and one made of the student's map and all deeper ones.

    From the deepest level to the shallowest a fusion block joins the student's map with what the block before left, by an
    attention over the two, and turns it into a map of the teacher's width. The distance of maps O and F of height h is

        (MSE(O, F) + sum_k w_k MSE(pool_k(O), pool_k(F))) / (1 + sum_k w_k)

    pool_k the average pool to k x k, k in 4, 2, 1 as far as k < h, w_k = 1/2, 1/4, 1/8 in the order of those. A pooled
    vector is a level of 1 x 1; tokens are laid out as the grid that they come from. The blocks train along and are not
    exported; for ResNet-152 -> ResNet-50 they hold 30.2 M parameters. Goes with `warmup_epochs: 1`, `warmup_by_epoch: true`.

    Args:
        student_taps: levels of the student, shallow to deep.
        teacher_taps: the teacher's, as many.
        width: channels of the blocks; no more than the student's deepest level has.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv:2104.09044, section 3.
    """

    needs = frozenset({"features"})

    def __init__(self, student_taps: Sequence[str] = _LEVELS, teacher_taps: Sequence[str] = _LEVELS, width: int = 512):
        super().__init__()
        self.student_taps, self.teacher_taps = _names("student_taps", student_taps), _names("teacher_taps", teacher_taps)
        self.width = positive_int("width", width)
        if len(self.student_taps) != len(self.teacher_taps):
            raise InputError(f"student_taps and teacher_taps must name as many levels; they name {len(self.student_taps)} and "
                             f"{len(self.teacher_taps)}.")

    def attach(self, site):
        student = [channels_of(site.student[name]) for name in self.student_taps]
        teacher = [channels_of(site.teacher[name]) for name in self.teacher_taps]
        self.student_grids = [_grid(name, site.student[name], site.size) for name in self.student_taps]
        self.teacher_grids = [_grid(name, site.teacher[name], site.teacher_size) for name in self.teacher_taps]
        width, deepest = min(self.width, student[-1]), len(student) - 1
        self.blocks = nn.LayerList([FusionBlock(own, width, theirs, joins=level < deepest)
                                    for level, (own, theirs) in enumerate(zip(student, teacher))])

    def forward(self, student, teacher, batch):
        loss, left = 0, None
        with paddle.amp.auto_cast(enable=False):                    # float32 also where the networks are not
            owns = _maps(student.features, self.student_taps, self.student_grids)
            targets = _maps(teacher.features, self.teacher_taps, self.teacher_grids)
            for block, own, target in reversed(list(zip(self.blocks, owns, targets))):
                target = target.detach()
                made, left = block(own, left, target.shape[-2:])
                loss = loss + map_distance(made, target)
        return loss


class FusionBlock(nn.Layer):
    """Joins a map with what the next deeper block left.

    Args:
        channels: of the student's map.
        width: of what is left for the next block.
        out_channels: of the teacher's map.
        joins: there is a deeper block.
    """

    def __init__(self, channels: int, width: int, out_channels: int, joins: bool):
        super().__init__()
        self.reduce = nn.Sequential(_convolution(channels, width, 1), nn.BatchNorm2D(width))
        self.attention = nn.Conv2D(2 * width, 2, 1) if joins else None
        self.widen = nn.Sequential(_convolution(width, out_channels, 3), nn.BatchNorm2D(out_channels))

    def forward(self, x: Tensor, left: Tensor | None, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A map of out_channels and what is left for the next block, both of `size`, from a map and what was left."""
        x = self.reduce(x)
        if self.attention is not None:
            left = _resized(left, x.shape[-2:])
            share = F.sigmoid(self.attention(paddle.concat([x, left], axis=1)))
            x = x * share[:, :1] + left * share[:, 1:]
        x = _resized(x, size)
        return self.widen(x), x


def map_distance(made: Tensor, target: Tensor) -> Tensor:
    """Hierarchical distance of two maps [B, C, H, W], a scalar; see ReviewKDLoss."""
    loss, weight, total = F.mse_loss(made, target), 1.0, 1.0
    for size in _POOLED_SIZES:
        if size < made.shape[2]:
            weight /= 2
            loss = loss + weight * F.mse_loss(*(F.adaptive_avg_pool2d(features, size) for features in (made, target)))
            total += weight
    return loss / total


def _names(option: str, taps) -> tuple[str, ...]:
    if not isinstance(taps, (list, tuple)) or not taps or not all(isinstance(name, str) for name in taps):
        raise InputError(f"{option} must be a list of names of features such as {list(_LEVELS)}, not {taps!r}.")
    return tuple(taps)


def _grid(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a level; a vector is one pixel."""
    return (1, 1) if len(shape) == 1 else grid_of(name, shape, size)


def _maps(features: Mapping[str, Tensor], names: Sequence[str], grids: Sequence[tuple[int, int]]) -> list[Tensor]:
    """float32 [B, C, H, W] of each level."""
    found = (features[name].astype("float32") for name in names)
    return [each.unsqueeze([2, 3]) if each.ndim == 2 else as_map(each, grid) for each, grid in zip(found, grids)]


def _resized(features: Tensor, size: Sequence[int]) -> Tensor:
    """The map at another size, each pixel that of the nearest one."""
    return features if list(features.shape[-2:]) == list(size) else F.interpolate(features, size=list(size), mode="nearest")


def _convolution(before: int, after: int, kernel: int) -> nn.Conv2D:
    """Begins uniform within sqrt(3 / inputs of an output), the published start."""
    bound = math.sqrt(3 / (before * kernel ** 2))
    return nn.Conv2D(before, after, kernel, padding=kernel // 2, bias_attr=False,
                     weight_attr=ParamAttr(initializer=nn.initializer.Uniform(-bound, bound)))
