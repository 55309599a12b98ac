from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.maps import as_map, as_tokens, channels_of, grid_of


@pytest.mark.parametrize("shape, size, grid", [
    ((8, 14, 7), (224, 224), (14, 7)), ((196, 8), (224, 224), (14, 14)), ((197, 8), (224, 224), (14, 14)),
    ((198, 8), (224, 224), (14, 14)), ((50, 8), (224, 224), (7, 7)), ((8, 5), (32, 16), (4, 2)), ((9, 5), (32, 16), (4, 2)),
    ((1, 5), (64, 64), (1, 1))])
def test_maps_and_tokens_have_the_grid_of_the_image(shape, size, grid):
    assert grid_of("x", shape, size) == grid and channels_of(shape) == (shape[0] if len(shape) == 3 else shape[1])


@pytest.mark.parametrize("shape, size", [((8,), (64, 64)), ((7, 8), (64, 64)), ((16, 8), (64, 32)), ((19, 8), (64, 64))])
def test_what_is_no_grid_is_refused_with_its_name_and_shape(shape, size):
    with pytest.raises(InputError, match=rf"feature 'here' has the shape \[{shape[0]}.*of {size[0]} x {size[1]} pixels: exp"):
        grid_of("here", shape, size)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_tokens_lie_row_by_row_and_those_before_the_grid_are_dropped(extra):
    grid = np.random.default_rng(0).normal(0, 1, (2, 5, 3, 4)).astype(np.float32)
    tokens = np.concatenate([np.full((2, extra, 5), 9, np.float32), grid.reshape(2, 5, 12).transpose(0, 2, 1)], 1)
    np.testing.assert_array_equal(as_map(paddle.to_tensor(tokens), (3, 4)).numpy(), grid)
    np.testing.assert_array_equal(as_map(paddle.to_tensor(grid), (3, 4)).numpy(), grid)
    np.testing.assert_array_equal(as_tokens(paddle.to_tensor(grid), (3, 4)).numpy(), tokens[:, extra:])
    np.testing.assert_array_equal(as_tokens(paddle.to_tensor(tokens), (3, 4)).numpy(), tokens[:, extra:])
