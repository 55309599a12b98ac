from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.models.zoo import build_network

# what the shift does to the answers: tests/import_weights/test_mapping.py

NAME = "SwinTransformer_tiny_patch4_window7_224"


def shifts(**options) -> list[list[int]]:
    """The shift of each block, stage by stage."""
    return [[block.shift_size for block in stage.blocks] for stage in build_network(NAME, 4, **options).layers]


def test_windows_stand_still_where_one_covers_the_map():
    early = [[0, 3], [0, 3], [0, 3, 0, 3, 0, 3]]
    assert shifts() == [*early, [0, 0]]
    assert shifts(last_stage_shift="on") == shifts(last_stage_shift=True) == [*early, [0, 3]]
    assert shifts(img_size=448) == [*early, [0, 3]]
    assert shifts(img_size=448, last_stage_shift=False) == [*early, [0, 0]]


def test_other_networks_have_no_such_option():
    with pytest.raises(InputError, match="has no option 'last_stage_shift'"):
        build_network("ResNet18", 4, last_stage_shift="on")
    with pytest.raises(InputError, match="last_stage_shift cannot be 'maybe'"):
        build_network(NAME, 4, last_stage_shift="maybe")
