"""Training and evaluation on rows that a cache holds in place of images."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
from paddle.io import Dataset

from ..data.dataset import READABLE, ManifestDataset, Visit
from ..data.loader import StepSampler
from ..errors import InputError
from .row_cache import RowCache


class CachedDataset(Dataset):
    """The images of a list as a cache knows them.

    A sample is that of a ManifestDataset, with rows of the cache instead of pixels; the next readable row of the list
    stands in for an unreadable one here too.

    Args:
        dataset: the images.
        cache: of the same images.
        entries: name in the cache -> entry of the sample, such as {"features": "image"}.
    """

    def __init__(self, dataset: ManifestDataset, cache: RowCache, entries: Mapping[str, str]):
        super().__init__()
        self.manifest, self.max_bad_fraction = dataset.manifest, dataset.max_bad_fraction
        self.cache, self.entries = cache, dict(entries)
        self._readable: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, visit: Visit) -> dict[str, np.ndarray]:
        """The sample of one visit; which pass it belongs to does not matter."""
        return {name: values[0] for name, values in self.samples([visit.row]).items()}

    def samples(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """The samples of several rows, stacked."""
        arrays, rows = self.cache.rows().arrays, np.asarray(rows, np.int64)
        index = self._readable_rows()[rows]
        return {**{entry: np.asarray(arrays[name][index]) for name, entry in self.entries.items()},
                "label": self.manifest.label[index], "index": index,
                "unreadable": np.where(index == rows, READABLE, rows)}

    def _readable_rows(self) -> np.ndarray:
        """For each row itself, or the next readable one; int64 [N]."""
        if self._readable is None:
            rows = np.arange(len(self), dtype=np.int64)
            readable = np.delete(rows, self.cache.rows().unreadable)
            if not len(readable):
                raise InputError(f"none of the images of {self.manifest.source} can be read.")
            self._readable = readable[np.searchsorted(readable, rows) % len(readable)]
        return self._readable


class CachedLoader:
    """Training batches from any step on, as a Loader gives them, without reading an image.

    Args:
        dataset: of the samples.
        sampler: which rows at which step.
    """

    def __init__(self, dataset: CachedDataset, sampler: StepSampler):
        self.dataset, self.sampler = dataset, sampler

    def batches(self, first_step: int, last_step: int) -> Iterator[dict]:
        """Batches (dicts of tensors) of the steps first_step .. last_step - 1; the cache is filled before the first."""
        if first_step < last_step:
            self.dataset.cache.rows()
        return map(self._batch, range(first_step, last_step))

    def _batch(self, step: int) -> dict:
        samples = self.dataset.samples([visit.row for visit in self.sampler.visits(step)])
        return {name: paddle.to_tensor(values) for name, values in samples.items()}
