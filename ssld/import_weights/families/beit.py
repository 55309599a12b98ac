"""BEiT v2, fine-tuned: the names of its authors and of timm are ours."""
from __future__ import annotations

from collections.abc import Iterable

from . import renamed

NETWORKS = ("beit.BEiT",)
_RULES = [(r".*\.relative_position_index$", None)]


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    return {name: renamed(name, _RULES) for name in names}
