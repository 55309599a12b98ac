"""A linear projection whose matrix is orthonormal whatever the optimizer does."""
from __future__ import annotations

import math
import sys

import numpy as np
import paddle
from paddle import Tensor, nn

from ..checks import one_of, positive_int

MAPS = ("householder", "cayley", "exp")
_DEGREE = 12            # of the Taylor polynomial: exact to 2e-10 for arguments up to 1 in norm
_HALVED_TO = 0.5        # norm of the exponential's argument after halving, at the start
_LEAST_SQUARINGS = 4    # enough for turns of 16 radians, where the start needs fewer


class OrthogonalProjection(nn.Layer):
    """y = z W^T with W [d_t, d_s], whose columns are orthonormal: W^T W = I, hence |y_i - y_j| = |z_i - z_j|.

    Such a map keeps distances and inner products of the rows of z, so it cannot take over what z should learn. W is a smooth
    function of a free matrix X [n, k], n = max(d_s, d_t), k = min(d_s, d_t), so every optimizer step ends at an orthonormal W:

        householder   Q = H_1 ... H_k E,  H_i = I - 2 v_i v_i^T / |v_i|^2,  v_i the columns of tril(X, -1) + E
        cayley        Q = (I - A/2)^-1 (I + A/2) E,  A = L E^T - E L^T,  L = tril(X)
        exp           Q = exp(A) E

    with E the first k columns of the identity and W = Q, or W = Q^T if d_t < d_s: then only its rows are orthonormal, a part
    of z is lost, and stderr says so. All three cost matrix products and one solve of k or 2 k equations, not of n.

    X is float32, also under mixed precision. It never decays (its attribute `no_weight_decay` is read by
    `ssld.optim.param_groups`): decay would pull W towards its beginning. Householder's signs of columns are a buffer; read off
    X's diagonal, as the reflectors leave them, they would be lost with the first decay, and W with them.

    W begins at an orthonormal basis of the columns of a linear layer's usual first weights (uniform within d_s^-1/2), drawn
    from Paddle's generator; for cayley and exp without `trivialize` X begins at these weights.

    Args:
        d_s: width of z, the student's.
        d_t: width of y, the teacher's.
        map: see above.
        trivialize: W = B Q with a fixed orthogonal B [n, n], and X begins where Q = E (dynamic trivialisation). B costs
            4 n^2 bytes and a product per step.

    Source: Miles et al., "VkD: Improving Knowledge Distillation using Orthogonal Projections", arXiv:2403.06213, section 3;
    compact form of the reflectors: Joffrain et al., "Accumulating Householder transformations, revisited", 2006;
    trivialisation: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds", arXiv:1909.09501.
    """

    def __init__(self, d_s: int, d_t: int, map: str = "householder", trivialize: bool = False):
        super().__init__()
        self.d_s, self.d_t = positive_int("d_s", d_s), positive_int("d_t", d_t)
        self.map = one_of("map", map, MAPS)
        if d_t < d_s:
            print(f"warning: an orthogonal projection from {d_s} to {d_t} dimensions loses a part of the student's features; "
                  "a teacher at least as wide as the student loses nothing", file=sys.stderr)
        first = paddle.uniform([d_t, d_s], "float32", -d_s ** -0.5, d_s ** -0.5).numpy().astype(np.float64)
        first = first if d_t >= d_s else first.T
        free, signs = first, np.ones(first.shape[1])
        if one_of("trivialize", trivialize, (True, False)):
            free = np.zeros_like(first)
            signs = signs if map != "householder" else -signs           # k reflections of one axis each
        elif map == "householder":
            free, signs = _reflectors(first)
        self.squarings = _squarings(free)
        self.free = self.create_parameter(free.shape, dtype="float32", default_initializer=nn.initializer.Assign(free))
        self.free.no_weight_decay = True
        self.register_buffer("signs", paddle.to_tensor(signs, "float32"))
        self.register_buffer("base", paddle.to_tensor(_completed(first), "float32") if trivialize else None)

    def forward(self, z: Tensor) -> Tensor:
        """[..., d_s] -> float32 [..., d_t]. To project several tensors compute `matrix` once."""
        with paddle.amp.auto_cast(enable=False):
            return paddle.matmul(z.astype("float32"), self.matrix(), transpose_y=True)

    def matrix(self) -> Tensor:
        """W, float32 [d_t, d_s], with gradient to X."""
        with paddle.amp.auto_cast(enable=False):
            columns = self._columns() * self.signs
            columns = columns if self.base is None else self.base @ columns
            return columns if self.d_t >= self.d_s else columns.T

    @paddle.no_grad()
    def orthogonality_error(self) -> float:
        """max |W^T W - I|, or max |W W^T - I| if d_t < d_s, of W as it is used."""
        matrix = self.matrix().astype("float64")
        gram = matrix.T @ matrix if self.d_t >= self.d_s else matrix @ matrix.T
        return float((gram - paddle.eye(len(gram), dtype="float64")).abs().max())

    def _columns(self) -> Tensor:
        """Q, [n, k]."""
        if self.map == "householder":
            return householder(self.free)
        return cayley(self.free) if self.map == "cayley" else exponential(self.free, self.squarings)


def householder(free: Tensor) -> Tensor:
    """H_1 ... H_k E as E - V S^-1 V_k^T, with S = triu(V^T V, 1) + diag(V^T V) / 2: [n, k] -> [n, k]."""
    rows, columns = free.shape
    start = paddle.eye(rows, columns)
    v = paddle.tril(free, -1) + start
    gram = paddle.matmul(v, v, transpose_x=True)
    factor = paddle.triu(gram, 1) + paddle.diag(paddle.diag(gram)) / 2
    return start - v @ paddle.linalg.solve(factor, v[:columns].T)


def cayley(free: Tensor) -> Tensor:
    """(I - A/2)^-1 (I + A/2) E = E + (I - A/2)^-1 A E: [n, k] -> [n, k]."""
    return _on_skew(free, lambda a, right: paddle.linalg.solve(paddle.eye(len(a)) - a / 2, right))


def exponential(free: Tensor, squarings: int) -> Tensor:
    """exp(A) E = E + f(A) A E with f(a) = (exp(a) - 1) / a: [n, k] -> [n, k].

    Every squaring doubles the rounding error, so a step of Newton's iteration for the nearest orthonormal matrix ends it.
    """
    columns = _on_skew(free, lambda a, right: _exponential_quotient(a, squarings) @ right)
    gram = paddle.matmul(columns, columns, transpose_x=True)
    return columns @ (3 * paddle.eye(len(gram)) - gram) / 2


def _on_skew(free: Tensor, function) -> Tensor:
    """E + f(A) A E for the skew-symmetric A of a free matrix.

    A = U M^T with U = [L, E] and M = [E, -L] has rank 2 k at most, and f(U M^T) U = U f(M^T U): 2 k rows in place of n.

    Args:
        free: X, [n, k].
        function: (a, right) -> f(a) @ right.
    """
    rows, columns = free.shape
    lower, start = paddle.tril(free), paddle.eye(rows, columns)
    if 2 * columns >= rows:
        lower = paddle.concat([lower, paddle.zeros([rows, rows - columns])], axis=1)
        skew = lower - lower.T
        return start + function(skew, skew[:, :columns])
    left, right = paddle.concat([lower, start], axis=1), paddle.concat([start, -lower], axis=1)
    return start + left @ function(paddle.matmul(right, left, transpose_x=True), right[:columns].T)


def _exponential_quotient(a: Tensor, squarings: int) -> Tensor:
    """(exp(a) - 1) / a of a square matrix, by a Taylor polynomial of a / 2^s and f(2 a) = (exp(a) + 1) f(a) / 2."""
    a, one = a / 2 ** squarings, paddle.eye(len(a))
    quotient = one
    for place in range(_DEGREE, 0, -1):
        quotient = one + a @ quotient / (place + 1)
    power = one + a @ quotient
    for left in reversed(range(squarings)):
        quotient = (quotient + power @ quotient) / 2
        power = power @ power if left else power
    return quotient


def _squarings(free: np.ndarray) -> int:
    """How often exp's argument is halved: fixed, so that every step of a run computes the same function."""
    bound = 2 * np.linalg.norm(np.tril(free), 2)
    return max(_LEAST_SQUARINGS, math.ceil(math.log2(max(bound, 1) / _HALVED_TO)))


def _reflectors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X and signs with which householder gives the orthonormal basis of the columns of `matrix` (Gram-Schmidt's)."""
    free = np.tril(np.linalg.qr(matrix, mode="raw")[0].T, -1)
    v = free + np.eye(*free.shape)
    gram = v.T @ v
    factor = np.triu(gram, 1) + np.diag(np.diag(gram)) / 2
    columns = np.eye(*free.shape) - v @ np.linalg.solve(factor, v[:len(gram)].T)
    return free, np.where((columns * matrix).sum(0) < 0, -1.0, 1.0)


def _completed(matrix: np.ndarray) -> np.ndarray:
    """An orthogonal [n, n] whose first k columns are the orthonormal basis of those of `matrix` [n, k]."""
    rows, columns = matrix.shape
    rest = paddle.randn([rows, rows - columns]).numpy() if rows > columns else np.zeros([rows, 0])
    q, r = np.linalg.qr(np.concatenate([matrix, rest], axis=1))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
