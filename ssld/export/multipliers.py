"""Learning-rate multipliers per stage for fine-tuning a distilled student on another task.

Features of a distilled student are finer: a full learning rate destroys them, a low one converges slowly; so earlier
stages get a smaller share. An ordinarily trained backbone gains nothing from these.
"""
from __future__ import annotations

# Published for SSLD (Cui et al., arXiv:2103.05959, and its document in PaddleClas). ResNet: stem, stages 1 to 4, found
# with ResNet50_vd; MobileNetV3: stem with blocks 0-2, then three blocks a value, found with MobileNetV3_large_x1_0.
PUBLISHED = {
    "ResNet": {"classification": [0.1, 0.1, 0.2, 0.2, 0.3], "detection": [0.05, 0.05, 0.05, 0.1, 0.15]},
    "MobileNetV3": {"classification": [0.25, 0.25, 0.5, 0.5, 0.75], "detection": [0.25, 0.25, 0.5, 0.5, 0.75]},
}
L2 = {"ResNet": 1e-4, "MobileNetV3": 4e-5}


def multipliers(family: str, groups: int, use: str) -> tuple[list[float], str]:
    """The list to start from, and where it comes from.

    Args:
        family: as in `ssld.models.stages`.
        groups: number of its stages.
        use: classification or detection.

    Returns:
        One factor per stage; a remark. Where nothing is published all factors are 1, and the remark says so.
    """
    published = PUBLISHED.get(family, {}).get(use)
    if published and len(published) == groups:
        return list(published), f"published for {family} and {use} (arXiv:2103.05959)"
    return [1.0] * groups, (f"nothing is published for {family}: all ones. Try smaller values for earlier stages, such as "
                            f"{[round(0.25 + 0.5 * i / max(groups - 1, 1), 3) for i in range(groups)]}")
