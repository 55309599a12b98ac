"""What the labels in a store are like."""
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..checks import positive_int
from ..errors import InputError
from .codec import Codec
from .store import Store

PERCENTILES = (5, 25, 50, 75, 95)


class Facts(NamedTuple):
    """Some crops with their labels.

    Attributes:
        entropy: float [n], of the recovered label, nats, 0 to ln C.
        mass: float [n], sum of the probabilities that are stored as they are.
        confidence: float [n], highest probability of the recovered label.
        top: int64 [n], the class that has it.
        area: float [n], of the crop as a share of the image.
        aspect: float [n], width / height of the crop.
    """

    entropy: np.ndarray
    mass: np.ndarray
    confidence: np.ndarray
    top: np.ndarray
    area: np.ndarray
    aspect: np.ndarray


class Survey(NamedTuple):
    """Facts about the crops of some images.

    Attributes:
        rows: int64 [I], the images, readable ones, evenly spread over the store.
        facts: of their crops, image by image, [I * M].
        right: bool [I * M], whether the top class is the image's label; False where it has none.
        labelled: crops of images that have a label.
        distinct: int64 [I], different top classes among the crops of each image.
    """

    rows: np.ndarray
    facts: Facts
    right: np.ndarray
    labelled: int
    distinct: np.ndarray


def survey(store: Store, images: int = 1000) -> Survey:
    """Look at the labels of some images.

    Args:
        store: to look at.
        images: how many at most.

    Raises:
        InputError: none of its images could be read.
    """
    readable = np.flatnonzero(store.images.readable)
    if not len(readable):
        raise InputError(f"none of the {len(store.images.path):,} images of {store.folder} could be read: there is no label.")
    rows = evenly(readable, positive_int("--sample", images))
    found = [facts_of(store, row) for row in rows.tolist()]
    facts = Facts(*(np.concatenate(values) for values in zip(*found)))
    label = store.images.label[rows].repeat(store.crops)
    distinct = np.array([len(np.unique(one.top)) for one in found])
    return Survey(rows, facts, facts.top == label, int((label >= 0).sum()), distinct)


def facts_of(store: Store, row: int) -> Facts:
    """Facts about all crops of a readable image."""
    records, codec = store.records(row), store.codec
    box = codec.crops(records).box
    area = box[:, 2] * box[:, 3] / (store.images.width[row] * store.images.height[row])
    top, confidence = (values[:, 0] for values in likeliest(codec, records, 1))
    mass = np.ones(len(records)) if codec.kind == "full" else codec.mass(records)
    return Facts(entropy(codec, records), mass, confidence, top, area, box[:, 3] / box[:, 2])


def likeliest(codec: Codec, records: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The top classes of recovered labels, int64 [n, at most count], and their probabilities, descending."""
    if codec.kind == "full":
        return codec.top(records, min(count, codec.k))
    labels = codec.sparse(records)
    return labels.ids[:, :count], labels.rest[:, None] + labels.excess[:, :count]


def entropy(codec: Codec, records: np.ndarray) -> np.ndarray:
    """Entropy of recovered labels, nats, float64 [n]."""
    if codec.kind == "full":
        return _surprise(codec.dense(records)).sum(axis=1)
    labels = codec.sparse(records)
    kept = labels.rest[:, None] + labels.excess
    return _surprise(kept).sum(axis=1) + (codec.class_num - labels.ids.shape[1]) * _surprise(labels.rest)


def evenly(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of some values, evenly spread over them, the first and the last among them."""
    if len(values) <= count:
        return values
    return values[np.round(np.linspace(0, len(values) - 1, count)).astype(np.int64)]


def describe(store: Store) -> list[tuple[str, str]]:
    """(name, value) of what a store says about itself."""
    meta, readable = store.meta, store.images.readable
    size = sum(entry["bytes"] for entry in (meta["table"], *meta["shards"]))
    crops = len(readable) * store.crops
    record = store.codec.dtype.itemsize
    told = {"teachers": _teachers(meta), "input size": meta.get("input_size"), "interpolation": meta.get("interpolation"),
            "temperature": meta.get("temperature"), "seed": store.seed, "area of crops": _range(meta.get("scale")),
            "width / height of crops": _range(meta.get("ratio")), "origin": _origin(meta.get("origin"))}
    unknown = ", ".join(name for name, value in told.items() if value is None)
    return [("kind", store.codec.kind), ("classes", f"{store.class_num:,}"), ("classes kept per crop", f"{store.codec.k:,}"),
            ("images", f"{len(readable):,}"), ("readable images", f"{int(readable.sum()):,}"),
            ("crops per image", str(store.crops)), ("bytes", f"{size:,}"),
            ("bytes per crop", f"{size / crops:.2f} (a record has {record})"),
            *((name, str(value)) for name, value in told.items() if value is not None),
            *([("not known", unknown)] if unknown else []),
            ("SHA-256 of the paths", meta["images_sha256"]), ("SHA-256 of the store", store.sha256)]


def figures(store: Store, found: Survey) -> list[tuple[str, list[float]]]:
    """(name, mean and PERCENTILES) of what is measured for each crop, and of the distinct classes of each image."""
    facts = found.facts
    rows = [(f"entropy of the label, nats (at most {math.log(store.class_num):.2f})", facts.entropy),
            ("kept mass", facts.mass), ("highest probability", facts.confidence), ("area of the crop / image", facts.area),
            ("width / height of the crop", facts.aspect), ("distinct top classes of an image", found.distinct)]
    return [(name, [float(values.mean()), *np.percentile(values, PERCENTILES).tolist()]) for name, values in rows]


def agreement(found: Survey) -> str:
    """How often the top class is the image's label, in words."""
    if not found.labelled:
        return "none of these images has a label to compare the top class with"
    share = 100 * found.right.sum() / found.labelled
    return f"the top class is the image's label in {share:.2f} % of the {found.labelled:,} crops of labelled images"


def text(store: Store, found: Survey) -> str:
    """All of it as a table for a terminal."""
    lines = [f"{name:32}{value}" for name, value in describe(store)]
    head = "".join(f"{name:>9}" for name in ("mean", *(f"{p} %" for p in PERCENTILES)))
    lines += ["", f"{_sampled(store, found):45}{head}"]
    lines += [f"{name:45}" + "".join(f"{value:9.3f}" for value in values) for name, values in figures(store, found)]
    return "\n".join([*lines, agreement(found)])


def _sampled(store: Store, found: Survey) -> str:
    return f"of {len(found.rows):,} images, {len(found.facts.area):,} crops"


def _surprise(p: np.ndarray) -> np.ndarray:
    """-p ln p, 0 for 0."""
    p = p.astype(np.float64)
    return -p * np.log(np.where(p > 0, p, 1))


def _teachers(meta: dict) -> str | None:
    return ", ".join(str(teacher.get("name")) for teacher in meta["teachers"]) if meta.get("teachers") else None


def _range(bounds) -> str | None:
    return None if bounds is None else f"{bounds[0]:.4g} to {bounds[1]:.4g}"


def _origin(origin) -> str:
    return "generated by ssld" if origin is None else f"{origin.get('format')} in {origin.get('source')}"
