"""BEiT v2 and EVA-L, fine-tuned: the names of their authors and of timm are ours; OpenMMLab's of EVA-L are known too."""
from __future__ import annotations

from collections.abc import Iterable

from . import OPENMMLAB, renamed

NETWORKS = ("beit.BEiT",)
_RULES = [(r".*\.relative_position_index$", None), *OPENMMLAB]


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    return {name: renamed(name, _RULES) for name in names}
