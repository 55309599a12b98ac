from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.orthogonal import OrthogonalProjection
from ssld.optim.optimizers import OPTIMIZERS, AdamW, Momentum

MAPS = ["householder", "cayley", "exp"]
SIZES = [(4, 11), (7, 7), (9, 13), (11, 4), (1, 5)]          # d_s, d_t: tall, square, nearly square, wide, one column
every_map = pytest.mark.parametrize("name", MAPS)


def made(d_s, d_t, name="householder", trivialize=False, seed=0):
    paddle.seed(seed)
    return OrthogonalProjection(d_s, d_t, name, trivialize)


def drawn(shape, seed=0, spread=0.5):
    return np.random.default_rng(seed).normal(0, spread, shape)


def loose(projection, seed=3, spread=0.5):
    """A projection whose free matrix is any, diagonal and upper triangle included; and that matrix as it is stored."""
    projection.free.set_value(drawn(projection.free.shape, seed, spread).astype(np.float32))
    return projection, projection.free.numpy().astype(np.float64)


def first_weights(d_s, d_t, seed=0):
    """What a projection of this seed draws first, [n, k]."""
    paddle.seed(seed)
    first = paddle.uniform([d_t, d_s], "float32", -d_s ** -0.5, d_s ** -0.5).numpy()
    return first if d_t >= d_s else first.T


def expected(projection, free, oracle):
    """W by the definitions, float64 [d_t, d_s]."""
    columns = getattr(oracle("orthogonal"), projection.map)(free) * projection.signs.numpy()
    if projection.base is not None:
        columns = projection.base.numpy().astype(np.float64) @ columns
    return columns if projection.d_t >= projection.d_s else columns.T


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
@pytest.mark.parametrize("d_s, d_t", SIZES)
def test_the_matrix_equals_the_definition(d_s, d_t, name, trivialize, oracle):
    projection, free = loose(made(d_s, d_t, name, trivialize))
    assert projection.matrix().shape == [d_t, d_s]
    np.testing.assert_allclose(projection.matrix().numpy(), expected(projection, free, oracle), atol=2e-6)


@every_map
@pytest.mark.parametrize("d_s, d_t", [(48, 640), (96, 96)])
def test_larger_matrices_equal_the_definition(d_s, d_t, name, oracle):
    projection = made(d_s, d_t, name)
    free = projection.free.numpy().astype(np.float64)
    np.testing.assert_allclose(projection.matrix().numpy(), expected(projection, free, oracle),
                               atol=1e-5 if name == "exp" else 2e-6)


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
@pytest.mark.parametrize("d_s, d_t", SIZES)
def test_the_gradient_equals_finite_differences_of_the_definition(d_s, d_t, name, trivialize, oracle):
    projection, free = loose(made(d_s, d_t, name, trivialize))
    weights = drawn((d_t, d_s), seed=8, spread=1)
    (projection.matrix() * paddle.to_tensor(weights, "float32")).sum().backward()
    slope = oracle("orthogonal").slope(lambda x: expected(projection, x, oracle), free, weights)
    assert np.abs(slope).max() > 0.1 or (d_s == d_t == 1)
    np.testing.assert_allclose(projection.free.grad.numpy(), slope, atol=1e-4 * np.abs(slope).max())


@every_map
@pytest.mark.parametrize("d_s, d_t", SIZES)
def test_rows_are_projected_by_the_matrix_and_get_its_gradient(d_s, d_t, name):
    projection = made(d_s, d_t, name)
    z = paddle.to_tensor(drawn((6, 2, d_s)), "float32", stop_gradient=False)
    matrix, weights = projection.matrix().numpy(), drawn((6, 2, d_t), 5)
    y = projection(z)
    np.testing.assert_allclose(y.numpy(), z.numpy() @ matrix.T, atol=1e-6)
    (y * paddle.to_tensor(weights, "float32")).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), weights @ matrix, atol=1e-5)


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
def test_distances_and_inner_products_are_kept(name, trivialize):
    projection, _ = loose(made(6, 17, name, trivialize))
    z = drawn((8, 6))
    y = projection(paddle.to_tensor(z, "float32")).numpy().astype(np.float64)
    np.testing.assert_allclose(y @ y.T, z @ z.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(y[:, None] - y[None], axis=2), np.linalg.norm(z[:, None] - z[None], axis=2),
                               atol=1e-5)


@pytest.mark.parametrize("name, trivialize", [("householder", False), *((name, True) for name in MAPS)])
@pytest.mark.parametrize("d_s, d_t", SIZES)
def test_it_begins_at_an_orthonormal_basis_of_a_linear_layers_first_weights(d_s, d_t, name, trivialize, oracle):
    basis = oracle("orthogonal").gram_schmidt(first_weights(d_s, d_t, 4))
    matrix = made(d_s, d_t, name, trivialize, seed=4).matrix().numpy()
    np.testing.assert_allclose(matrix if d_t >= d_s else matrix.T, basis, atol=5e-6)


@pytest.mark.parametrize("name", ["cayley", "exp"])
def test_without_trivialisation_the_others_begin_at_these_weights_themselves(name):
    np.testing.assert_array_equal(made(5, 9, name, seed=4).free.numpy(), first_weights(5, 9, 4))


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
def test_the_seed_decides_the_matrix(name, trivialize):
    first, again, other = (made(5, 9, name, trivialize, seed).matrix().numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
def test_it_is_orthonormal_far_from_where_it_began(name, trivialize):
    """|A| is about 10 here, three half turns, while exp's number of squarings is that of the beginning."""
    projection, free = loose(made(16, 40, name, trivialize), spread=1.2)
    assert np.linalg.norm(np.tril(free), 2) > 8
    assert projection.orthogonality_error() < 1e-5


@pytest.mark.parametrize("d_s, d_t", [(5, 12), (12, 5)])
def test_the_error_is_the_largest_element_of_the_gram_matrix_less_the_identity(d_s, d_t):
    projection = made(d_s, d_t)
    assert projection.orthogonality_error() < 1e-6
    projection.signs.set_value(projection.signs * paddle.to_tensor([1.0, 1.0, 1.1, 1.0, 1.0]))
    assert projection.orthogonality_error() == pytest.approx(0.21, abs=1e-5)


def trained(projection, make=AdamW, steps=200, **options):
    """After so many steps towards random targets: the projection, and how far its matrix has gone."""
    before = projection.matrix().numpy()
    optimizer = make(network=projection, **options)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        z, t = (paddle.to_tensor(rng.normal(size=(8, width)), "float32") for width in (projection.d_s, projection.d_t))
        (projection(z) - t).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    return projection, np.abs(projection.matrix().numpy() - before).max()


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
@pytest.mark.parametrize("d_s, d_t", [(12, 40), (16, 16), (40, 12)])
def test_it_is_orthonormal_after_200_steps_with_weight_decay(d_s, d_t, name, trivialize):
    projection, moved = trained(made(d_s, d_t, name, trivialize), learning_rate=5e-3, weight_decay=0.05)
    assert projection.orthogonality_error() < 1e-5 and moved > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name, steps", [("householder", 200), ("cayley", 10), ("exp", 10)])
def test_it_is_orthonormal_at_the_width_of_a_real_teacher(name, steps):
    projection, moved = trained(made(192, 3024, name), steps=steps, learning_rate=5e-4, weight_decay=0.05)
    assert projection.orthogonality_error() < 1e-5 and moved > 1e-3


@every_map
def test_a_large_rate_and_momentum_do_not_break_it_either(name):
    projection, _ = trained(made(12, 40, name), Momentum, learning_rate=5.0, weight_decay=0.05)
    assert projection.orthogonality_error() < 1e-5


@every_map
@pytest.mark.parametrize("trivialize", [False, True])
def test_one_step_of_weight_decay_does_not_erase_the_projection(name, trivialize):
    """Signs that are read off a decayed diagonal are cut off to 0, and the whole matrix with them."""
    projection = made(6, 20, name, trivialize)
    trained(projection, steps=1, learning_rate=5e-4, weight_decay=0.05)
    assert np.linalg.norm(projection.matrix().numpy()) == pytest.approx(6 ** 0.5, rel=1e-5)
    projection.free.set_value(projection.free * (1 - 5e-4 * 0.05))                # even if somebody lets it decay
    assert np.linalg.norm(projection.matrix().numpy()) == pytest.approx(6 ** 0.5, rel=1e-5)
    z = paddle.ones([1, 6])
    z.stop_gradient = False
    projection(z)[0, 0].backward()
    assert float(z.grad.abs().max()) > 1e-3


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_no_optimizer_lets_it_decay(optimizer):
    """Where the gradient is 0, decay alone would move it."""
    projection, beside = made(6, 20), paddle.nn.Linear(3, 3)
    network = paddle.nn.LayerList([projection, beside])
    before, other = projection.free.numpy(), beside.weight.numpy()
    optimizer = OPTIMIZERS.build(optimizer, {"weight_decay": 0.3}, "here", network=network, learning_rate=0.5)
    (projection.matrix().sum() * 0 + beside.weight.sum() * 0).backward()
    optimizer.step()
    np.testing.assert_array_equal(projection.free.numpy(), before)
    assert np.abs(beside.weight.numpy() - other).max() > 0.01


def test_signs_are_saved_and_restored_with_the_rest():
    for trivialize in (False, True):
        first, second = made(5, 9, trivialize=trivialize, seed=1), made(5, 9, trivialize=trivialize, seed=2)
        assert set(first.state_dict()) == {"free", "signs"} | ({"base"} if trivialize else set())
        assert [name for name, _ in first.named_parameters()] == ["free"]
        second.set_state_dict(first.state_dict())
        np.testing.assert_array_equal(first.matrix().numpy(), second.matrix().numpy())


@every_map
def test_the_matrix_is_float32_under_mixed_precision(name):
    projection = made(5, 9, name)
    plain = projection.matrix().numpy()
    with paddle.amp.auto_cast(level="O2", dtype="bfloat16"):
        assert projection.matrix().dtype == paddle.float32
        np.testing.assert_array_equal(projection.matrix().numpy(), plain)
        y = projection(paddle.ones([2, 5], "float16"))
    assert y.dtype == paddle.float32
    np.testing.assert_allclose(y.numpy(), np.tile(plain.sum(1), (2, 1)), atol=1e-6)


@pytest.mark.parametrize("d_s, d_t, warned", [(9, 5, 1), (5, 9, 0), (5, 5, 0)])
def test_losing_a_part_of_the_student_is_said_once(d_s, d_t, warned, capsys):
    projection = made(d_s, d_t)
    for _ in range(3):
        projection(paddle.ones([2, d_s]))
    assert capsys.readouterr().err.count("from 9 to 5 dimensions loses a part") == warned
    gram = projection.matrix().numpy() @ projection.matrix().numpy().T
    if warned:
        np.testing.assert_allclose(gram, np.eye(5), atol=1e-6)


@pytest.mark.parametrize("arguments, message", [((0, 5), "d_s must be a whole number of at least 1"),
                                                ((5, 2.5), "d_t must be a whole number of at least 1"),
                                                ((5, 9, "cayly"), "map cannot be 'cayly'. Did you mean 'cayley'"),
                                                ((5, 9, "exp", "yes"), "trivialize cannot be 'yes'")])
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        OrthogonalProjection(*arguments)
