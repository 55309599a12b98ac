"""Asking an exported network about pictures: what `ssld predict` does."""
from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from ..checks import positive_int
from ..data.dataset import READABLE
from ..data.loader import in_order
from ..data.transforms import build_transforms
from ..errors import InputError
from ..progress import Progress
from .model import Model, open_model
from .pictures import Pictures, find_pictures
from .table import Guess, Prediction, Table

_TOPK = 5


class Summary(NamedTuple):
    """What was done.

    Attributes:
        images: that were read.
        unreadable: that were not.
        seconds: for reading and asking, on the clock.
        asking: of these, the network's.
        engine: how it was run.
    """

    images: int
    unreadable: int
    seconds: float
    asking: float
    engine: str

    def __str__(self) -> str:
        skipped = f", {self.unreadable} unreadable ones skipped" if self.unreadable else ""
        return (f"{self.images} images in {self.seconds:.2f} s: {self.images / self.seconds:.1f} images/s ({self.engine}; the "
                f"network alone {self.images / self.asking:.1f}){skipped}")


def predict(place: str, pictures: Sequence[str], topk: int | None = None, batch: int = 32, out: str | None = None,
            engine: str = "auto") -> Summary:
    """Print the likeliest classes of each picture, or write them to a file; unreadable pictures are skipped and counted.

    Args:
        place: of the network, see `ssld.predict.model`.
        pictures: files and folders.
        topk: classes for each picture; default: 5, or all where there are fewer.
        batch: pictures at a time.
        out: .csv or .json file; what happens then is progress alone.
        engine: see `ssld.predict.model`.

    Raises:
        InputError: no network or picture there, topk above the number of classes, or none of the pictures can be read.
    """
    positive_int("batch", batch)
    model, files = open_model(place, engine), find_pictures(pictures)
    asked = _Asked(model, _classes(topk, model, place))
    dataset = Pictures(files, build_transforms(model.card.preprocess, f"{place}: preprocess"), model.card.input)
    table = Table(out) if out else None
    progress, began = Progress("image", len(files), quiet=table is None), time.perf_counter()
    try:
        for predictions in asked.batches(dataset, batch):
            if table:
                table.add(predictions)
            else:
                print("\n".join(map(str, predictions)), flush=True)
            asked.images += len(predictions)
            progress.update(asked.images + asked.unreadable)
    except BaseException:
        if table:
            print(f"the rows of {asked.images} images are in {table.partial}", file=sys.stderr)
        raise
    return _summary(asked, table, len(files), time.perf_counter() - began)


def _classes(topk: int | None, model: Model, place: str) -> int:
    """How many classes are told of each picture."""
    known = model.card.class_num
    if topk is not None and positive_int("topk", topk) > known:
        raise InputError(f"topk {topk} is more than the {known} classes of {place}.")
    return topk or min(_TOPK, known)


class _Asked:
    """Asks the network batch by batch; `images` counts those whose rows are delivered."""

    def __init__(self, model: Model, topk: int):
        self.model, self.topk = model, topk
        self.images, self.unreadable, self.seconds = 0, 0, 0.0

    def batches(self, dataset: Pictures, batch_size: int) -> Iterator[list[Prediction]]:
        """Predictions of the readable pictures of each batch."""
        for batch in in_order(dataset, batch_size):
            index, readable = batch["index"].numpy(), batch["unreadable"].numpy() == READABLE
            for row in index[~readable]:
                print(f"warning: {dataset.files[row]} cannot be read; it is skipped", file=sys.stderr)
            self.unreadable += int((~readable).sum())
            if readable.any():
                began = time.perf_counter()
                logits = self.model.logits(batch["image"].numpy()[readable])
                self.seconds += time.perf_counter() - began
                guesses = top_classes(logits, self.topk, self.model.card.class_names)
                yield [Prediction(dataset.files[row], found) for row, found in zip(index[readable], guesses)]


def top_classes(logits: np.ndarray, topk: int, names: Optional[Sequence[str]] = None) -> list[tuple[Guess, ...]]:
    """The likeliest classes of each row [B, C] by softmax; of equal ones the lower number comes first, as argmax has it."""
    shifted = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64))
    probability = shifted / shifted.sum(1, keepdims=True)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :topk]
    return [tuple(Guess(int(number), names[number] if names else "", float(probability[row, number])) for number in numbers)
            for row, numbers in enumerate(order)]


def _summary(asked: _Asked, table: Table | None, count: int, seconds: float) -> Summary:
    if not asked.images:
        if table:
            table.partial.unlink()
        raise InputError(f"none of {count} images can be read.")
    if table:
        print(f"wrote {table.finish()}")
    summary = Summary(asked.images, asked.unreadable, seconds, asked.seconds, asked.model.engine)
    print(summary, flush=True)
    return summary

