"""Every parameter of a decision, in one place."""
from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Optional

from .errors import InputError


@dataclass(frozen=True)
class Options:
    """What decides whether two files show the same picture. The defaults were measured; see README.md.

    Args:
        size: longer side of the grey working image, pixels. Larger images are reduced to it.
        query_size: the same for pool images that are compared with references; what is found in them at a smaller size
            is enough, while references need the detail that a crop may be made of.
        enlarge_below: images whose longer side is shorter than this are enlarged, at most four times, pixels.
        keypoints: key points kept per image.
        contrast: contrast threshold of the SIFT detector; lower finds more, and fainter, key points.
        hash_radius: Hamming distance, of 256 bits, up to which two perceptual hashes propose a pair.
        hash_quality: least quality, in [0, 100], of a hash that may propose a pair of textured images.
        flat_hash_radius: the same distance for images with next to no key points, which nothing else can confirm.
        flat_colour: largest difference of the mean colour of such images, grey levels of 255 per channel.
        neighbours: nearest reference descriptors that vote, per descriptor.
        max_distance: squared distance of unit descriptors above which they do not vote, in [0, 2].
        min_score: votes a reference image needs to be a candidate.
        min_share: votes it needs as a share of the key points of the image compared with it, in [0, 1].
        candidates: best candidates that are verified, per image.
        exact_below: number of reference descriptors up to which the search is exact; compressed lists beyond.
        probes: lists visited per descriptor in the compressed search.
        ratio: largest ratio of the distances to the nearest and the second nearest descriptor, in [0, 1].
        ransac_px: largest error of an inlier, pixels of a 256-pixel image.
        ransac_trials: samples drawn at most.
        ransac_confidence: probability of a good sample at which drawing stops, in [0, 1].
        min_inliers: least number of inliers at distinct positions of a copy.
        min_agreement: least pixel agreement of a copy, in [0, 1].
        embedding: name of the network behind an `embed` function; part of the fingerprint. Empty: none.
        t_cand: cosine from which an embedding proposes a pair for verification, in [-1, 1].
        t_auto: cosine from which an embedding alone decides, in [-1, 1]. None: never.

    Raises:
        InputError: a value outside its range.
    """

    size: int = 256
    query_size: int = 192
    enlarge_below: int = 160
    keypoints: int = 256
    contrast: float = 0.02
    hash_radius: int = 31
    hash_quality: int = 50
    flat_hash_radius: int = 8
    flat_colour: float = 2.0
    neighbours: int = 4
    max_distance: float = 0.55
    min_score: float = 2.0
    min_share: float = 0.01
    candidates: int = 5
    exact_below: int = 20_000
    probes: int = 3
    ratio: float = 0.85
    ransac_px: float = 4.0
    ransac_trials: int = 500
    ransac_confidence: float = 0.99
    min_inliers: int = 5
    min_agreement: float = 0.55
    embedding: str = ""
    t_cand: float = 0.7
    t_auto: Optional[float] = None

    def __post_init__(self):
        for field in fields(self):
            low, high = _RANGES.get(field.name, (None, None))
            value = getattr(self, field.name)
            if low is not None and value is not None and not low <= value <= high:
                raise InputError(f"dedup option {field.name} must lie in [{low}, {high}], got {value!r}")


_RANGES = {
    "size": (64, 2048), "query_size": (64, 2048), "enlarge_below": (0, 2048), "keypoints": (8, 10_000), "contrast": (0, 1),
    "hash_radius": (0, 255), "hash_quality": (0, 100), "flat_hash_radius": (0, 255), "flat_colour": (0, 255),
    "neighbours": (1, 100), "max_distance": (0, 2), "min_score": (0, 1e9), "min_share": (0, 1), "candidates": (1, 1000),
    "exact_below": (0, 1e12), "probes": (1, 65_536), "ratio": (0, 1), "ransac_px": (0.1, 100),
    "ransac_trials": (1, 1_000_000), "ransac_confidence": (0, 1), "min_inliers": (3, 10_000),
    "min_agreement": (0, 1), "t_cand": (-1, 1), "t_auto": (-1, 1),
}
