"""ScaleKD: features of the student, projected by cross attention, against the last feature of a vision transformer."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from paddle import Tensor, nn

from ..checks import not_negative, one_of, positive, positive_int
from ..errors import InputError, located
from ..models.maps import as_map, as_tokens, channels_of, grid_of
from ..models.tail import Tail, tail_of
from .base import METHODS, Cost, Method, Site
from .cross_attention import NORMS, CrossAttentionProjector, at_least_float32, projector_cost
from .dual_view import alternative_distance, direct_distance

STAGES, TAPS = ("s3", "s4"), ("stage3", "stage4")       # second-to-last and last
_VIEWS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"direct": direct_distance, "alt": alternative_distance}
_QUERIES, _MODES = ("teacher", "own"), ("eval", "train")


@METHODS.register
class ScaleKDLoss(Method):
    """Cross attention projectors (CAP) whose outputs are compared with the teacher's last feature T, in two views:

        A = tail(CAP_3d(F3)),  B = tail(CAP_3a(F3))           tail: the teacher's last layers, frozen
        direct_3 D(A, T) + alternative_3 D(dc A, dc T) + direct_4 D(CAP_4d(F4; A), T) + alternative_4 D(dc CAP_4a(F4; B), dc T)

    F3, F4 are the student's features of the second-to-last and the last stage; A and B are the queries of the later projectors,
    with their gradients. D is the squared distance of unit vectors summed over positions, dc x is x without its mean over
    positions (`ssld.methods.dual_view`). Gradients pass the tail (`ssld.models.tail`) and reach F3. The parts are logged with
    their weights, so the weight of the whole stays 1; a part of weight 0 is not computed. KDLoss or SoftCELoss and a loss on
    labels go beside it, with weight 0.5 each in the published runs.

    D grows with the number of positions P and is about 2 P at the start: keep direct times P near 4. The projectors train
    along and are not exported. The teacher must be a live network.

    Args:
        heads: of the attention in the two stages; each divides the teacher's width there.
        direct, alternative: weights of the views, a number or one for each stage; 0 leaves a part out.
        softmax_scale: multiplies the usual scale of the attention, a number or one for each view.
        norm: behind the projectors' convolution, bn or ln.
        query: of the second stage, teacher: A and B, or own: learned ones; null: teacher with tpp, own without.
        tpp: teacher parameter perception: the first stage is compared behind the teacher's tail. Without, with the teacher's
            own feature of that stage.
        tpp_blocks: length of the tail of a teacher without stages.
        teacher_mode: eval, or train: with the teacher's stochastic depth, as the released code has it without saying so.
        student_taps: features F3 and F4, see `ssld.models.tap`.
        teacher_taps: of that stage and T; null: where its tail begins and ends. To be given only without tpp.

    Raises:
        InputError: options that contradict each other; when attached: heads that do not divide the teacher's width, features
            that are no maps, a teacher whose last layers are not known; when it runs: features of another shape.

    Source: Fan et al., "ScaleKD: Strong Vision Transformers Could Be Excellent Teachers", arXiv:2411.06786, section 3, and its
    released code. Different: the mean in place of the cosine transform, which is the same; the tail of plain transformers,
    whose released form does not run; the evaluation mode of the teacher.
    """

    needs = frozenset({"features"})

    def __init__(self, heads: Sequence[int], direct: float | Sequence[float] = 0.08,
                 alternative: float | Sequence[float] = 0.06, softmax_scale: float | Sequence[float] = 1.0, norm: str = "bn",
                 query: str | None = None, tpp: bool = True, tpp_blocks: int = 2, teacher_mode: str = "eval",
                 student_taps: Sequence[str] = TAPS, teacher_taps: Sequence[str] | None = None):
        super().__init__()
        self.heads = dict(zip(STAGES, _pair("heads", heads, positive_int)))
        weights = [_pair(name, value, not_negative) for name, value in (("direct", direct), ("alternative", alternative))]
        self.weights = {stage: dict(zip(_VIEWS, values)) for stage, values in zip(STAGES, zip(*weights))}
        self.scales = dict(zip(_VIEWS, _pair("softmax_scale", softmax_scale, positive)))
        self.norm, self.tpp = one_of("norm", norm, NORMS), one_of("tpp", tpp, (True, False))
        query = one_of("query", query or ("teacher" if tpp else "own"), _QUERIES)
        self.teacher_query, self.tpp_blocks = query == "teacher", positive_int("tpp_blocks", tpp_blocks)
        self.trains_teacher = one_of("teacher_mode", teacher_mode, _MODES) == "train"
        self.student_taps = _pair("student_taps", student_taps, _name)
        self.teacher_taps = () if teacher_taps is None else _pair("teacher_taps", teacher_taps, _name)
        self._check_options()
        self.tail: Tail | None = None

    def _check_options(self) -> None:
        if self.teacher_query and not self.tpp:
            raise InputError("query: teacher needs tpp, whose output the queries are. Set query: own, or tpp: true.")
        if self.teacher_taps and self.tpp:
            raise InputError("teacher_taps can be set only with tpp: false; otherwise the teacher's tail settles them.")
        if not any(self.weights[stage][view] for stage in STAGES for view in _VIEWS):
            raise InputError("direct and alternative are all 0: no part of the loss is left.")

    def choose_taps(self, teacher):
        """T, and without tpp the feature before the tail; their names do not depend on the images' size."""
        if not self.teacher_taps:
            if teacher is None:
                raise InputError("ScaleKDLoss needs the teacher's own layers: a live network of Paddle, not an ONNX file.")
            tail = tail_of(teacher, (224, 224), self.tpp_blocks)
            self.teacher_taps = (tail.tap,) if self.tpp else (tail.tap_in, tail.tap)

    def attach(self, site):
        self.choose_taps(site.teacher_network)
        if self.trains_teacher:
            _train_frozen(site)
        self.tail = tail_of(site.teacher_network, site.teacher_size, self.tpp_blocks) if self.tpp else None
        self.shapes = {name: site.student[name] for name in self.student_taps}
        self.grids = {stage: grid_of(name, site.student[name], site.size) for stage, name in zip(STAGES, self.student_taps)}
        self.targets = self._targets(site)
        self.projectors = nn.LayerDict({f"{stage}_{view}": self._projector(stage, view) for stage, view in self._branches()})

    def forward(self, student, teacher, batch):
        targets = {stage: as_tokens(teacher.features[tap].detach(), grid) for stage, (tap, _, grid) in self.targets.items()}
        parts, made = {}, {}
        for stage, view in self._branches():
            query = made["s3", view] if stage == "s4" and self.teacher_query else None
            tokens = self.projectors[f"{stage}_{view}"](self._map(student, stage), query)
            made[stage, view] = self.tail(tokens) if self.tail and stage == "s3" else tokens
            weight = self.weights[stage][view]
            if weight:
                target = targets["s4" if self.tpp else stage]
                parts[f"{stage}_{view}"] = weight * _VIEWS[view](made[stage, view], target)
        return parts

    def cost(self):
        """The projectors of each stage, cap_s3 and cap_s4, and the passes through the tail, tpp; as for one image by itself."""
        found: dict[str, Cost] = {}
        for stage, _ in self._branches():
            shape, (dim, positions) = self.shapes[self._tap(stage)], self._output(stage)
            cost = projector_cost(channels_of(shape), self.grids[stage], dim, positions, self._asks_itself(stage))
            found[f"cap_{stage}"] = found.get(f"cap_{stage}", Cost(0, 0)) + cost
            if stage == "s3" and self.tail:
                found["tpp"] = found.get("tpp", Cost(0, 0)) + Cost(0, self.tail.multiply_adds)
        return found

    def _branches(self) -> Iterator[tuple[str, str]]:
        """(stage, view) of each projector, the first stage first: those with a weight, and those whose output is a query."""
        for stage in STAGES:
            for view in _VIEWS:
                if self.weights[stage][view] or (stage == "s3" and self.teacher_query and self.weights["s4"][view]):
                    yield stage, view

    def _asks_itself(self, stage: str) -> bool:
        return stage == "s3" or not self.teacher_query

    def _projector(self, stage: str, view: str) -> CrossAttentionProjector:
        dim, positions = self._output(stage)
        with located(f"stage {stage}"):
            return CrossAttentionProjector(channels_of(self.shapes[self._tap(stage)]), self.grids[stage], dim, positions,
                                           self.heads[stage], self.scales[view], self.norm, self._asks_itself(stage))

    def _output(self, stage: str) -> tuple[int, int]:
        """Width and positions of what a stage's projectors make."""
        if self.tail and stage == "s3":
            return self.tail.dim_in, self.tail.grid_in[0] * self.tail.grid_in[1]
        _, dim, (height, width) = self.targets[stage]
        return dim, height * width

    def _targets(self, site: Site) -> dict[str, tuple[str, int, tuple[int, int]]]:
        """Tap, width and grid of the teacher's features; with tpp there is only the last one."""
        return {stage: (tap, channels_of(site.teacher[tap]), grid_of(tap, site.teacher[tap], site.teacher_size))
                for stage, tap in zip(STAGES[-len(self.teacher_taps):], self.teacher_taps)}

    def _tap(self, stage: str) -> str:
        return self.student_taps[STAGES.index(stage)]

    def _map(self, student, stage: str) -> Tensor:
        """The student's feature [B, C, H, W], at least float32."""
        tap = self._tap(stage)
        feature = student.features[tap]
        if tuple(feature.shape[1:]) != tuple(self.shapes[tap]):
            raise InputError(f"the student's feature '{tap}' has the shape {list(feature.shape[1:])}; the projectors were made "
                             f"for {list(self.shapes[tap])}. Train on images of one size.")
        return as_map(at_least_float32(feature), self.grids[stage])


def _train_frozen(site: Site) -> None:
    """Put what is random in the teacher into training mode; batch norm keeps its statistics."""
    if not site.teacher_is_eager:
        raise InputError("teacher_mode: train needs a teacher that runs layer by layer. Set Arch.teacher.engine: eager.")
    for layer in site.teacher_network.sublayers():
        layer.training = not isinstance(layer, (nn.BatchNorm, nn.layer.norm._BatchNormBase))


def _pair(name: str, value, check: Callable) -> tuple:
    """One value for each of two, or the same for both; each checked."""
    if not isinstance(value, (list, tuple)):
        value = [value, value]
    if len(value) != 2:
        raise InputError(f"{name} must be one value or two, not {list(value)}.")
    return tuple(check(name, each) for each in value)


def _name(option: str, name) -> str:
    if not isinstance(name, str):
        raise InputError(f"{option} must be names of two features such as {list(TAPS)}, not {name!r}.")
    return name
