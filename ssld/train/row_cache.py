"""Arrays with one row for each image of a list, computed once, kept on disk and mapped into memory."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from paddle import Tensor

from dedup.files import sync_folder, write_json

from ..data.dataset import READABLE, ManifestDataset, SomeRows, UnreadableImages
from ..data.loader import in_order
from ..device import is_main, rank, world_size
from ..errors import InputError
from ..progress import Progress
from .parallel import together
from .row_files import PLAN, PartialRows, Shard, read_json

CARD = "card.json"
_GB = 1e9


class Compute(Protocol):
    """Images float32 [B, 3, H, W] -> name -> float32 [B, width].

    Attributes:
        name: how it is computed, for the announcement.
    """

    name: str

    def __call__(self, image: Tensor) -> Mapping[str, np.ndarray]: ...


class Rows(NamedTuple):
    """What a cache holds.

    Attributes:
        arrays: name -> float32 [N, width], memory-mapped; rows of unreadable images are NaN.
        unreadable: int64 [m], sorted.
    """

    arrays: dict[str, np.ndarray]
    unreadable: np.ndarray


class RowCache:
    """A folder with `<name>.npy` for each array, and `card.json`, which says what they were made of.

    The folder is there when it is whole; until then it is called `<folder>.partial`, and a run that was killed goes on
    there. What was made of other things is computed again, after a sentence that says why.

    Args:
        folder: on a disk that all processes see.
        dataset: the images; their transforms must not be random.
        made_of: what the rows depend on, as text: checksums of the network, of the images, of the preprocessing.
        widths: name -> length of a row.
        open_compute: makes what computes the rows; called only when there are rows to compute.
        batch_size, num_workers: of reading and computing.
    """

    def __init__(self, folder: str | Path, dataset: ManifestDataset, made_of: Mapping[str, str], widths: Mapping[str, int],
                 open_compute: Callable[[], Compute], batch_size: int, num_workers: int = 0):
        self.folder, self.dataset, self.widths, self.open_compute = Path(folder), dataset, dict(widths), open_compute
        self.batch_size, self.num_workers = batch_size, num_workers
        self.made_of = {**made_of, **{f"width of {name}": str(width) for name, width in widths.items()}}
        self.partial = PartialRows(f"{folder}.partial", len(dataset), widths)
        self._rows: Rows | None = None

    def rows(self) -> Rows:
        """The rows, computed now if they are not there yet; all processes have to ask at the same time.

        Raises:
            InputError: too many unreadable images, a full disk, or an answer that is not finite.
        """
        if self._rows is None:
            with together():
                if is_main():
                    self._claim()
            if not self.folder.exists():
                with together():
                    self._fill()
                with together():
                    if is_main():
                        self._finish()
            self._rows = self._map()
        return self._rows

    def _claim(self) -> None:
        """Keep what is whole, or what was begun with the same things; otherwise begin."""
        if self.folder.exists():
            reason = self._stale(read_json(self.folder / CARD))
            if reason is None:
                return
            print(f"{self.folder}: {reason}; it is computed again", flush=True)
            shutil.rmtree(self.folder)
        if not self.partial.is_begun(self.made_of):
            self.partial.begin(self.made_of)

    def _stale(self, card: dict | None) -> str | None:
        """Why the folder cannot be used; None if it can."""
        kinds = {"made_of": dict, "files": dict, "unreadable": list}
        if card is None or not all(isinstance(card.get(key), kind) for key, kind in kinds.items()):
            return f"{CARD} cannot be read"
        before = card["made_of"]
        changed = [key for key in sorted(before.keys() | self.made_of.keys()) if before.get(key) != self.made_of.get(key)]
        if changed:
            return f"{changed[0]} changed since it was made"
        damaged = [name for name, size in card["files"].items() if _size(self.folder / name) != size]
        return f"{damaged[0]} is missing or cut off" if damaged else None

    def _fill(self) -> None:
        """This process's shards: every `world_size()`-th."""
        if not self.partial.folder.exists():
            raise InputError(f"{self.partial.folder} is not there: Global.output_dir must be on a disk that all processes see.")
        shards = self.partial.shards()[rank()::world_size()]
        done = sum(shard.done for shard in shards)
        compute = self.open_compute()
        self._announce(compute.name, done)
        progress = Progress("image", sum(shard.stop - shard.first for shard in shards), done, quiet=not is_main())
        unreadable = UnreadableImages(self.dataset)
        for shard in shards:
            for batch in self._left_of(shard):
                bad = batch["unreadable"].numpy()
                unreadable.update(bad)
                values = self._checked(compute(batch["image"]), shard.first + shard.done, bad)
                self.partial.write(shard, values, bad[bad != READABLE])
                done += len(bad)
                progress.update(done)

    def _announce(self, how: str, done: int) -> None:
        if is_main():
            shapes = " and ".join(f"{name} of width {width}" for name, width in self.widths.items())
            share = f"; process 1 of {world_size()} tells how far it is" if world_size() > 1 else ""
            print(f"computing {shapes} once for the {len(self.dataset):,} images of {self.dataset.manifest.source} ({how}): "
                  f"{self.partial.bytes / _GB:.3g} GB in {self.folder}{f', {done:,} are there' if done else ''}{share}",
                  flush=True)

    def _left_of(self, shard: Shard):
        """Batches of the images of a shard that are still to do."""
        part = SomeRows(self.dataset, np.arange(shard.first + shard.done, shard.stop))
        return in_order(part, self.batch_size, num_workers=self.num_workers) if len(part) else ()

    def _checked(self, values: Mapping[str, np.ndarray], first: int, bad: np.ndarray) -> dict[str, np.ndarray]:
        """The values, with NaN where `bad` names an unreadable row."""
        for name, value in values.items():
            if value.shape != (len(bad), self.widths[name]):
                raise InputError(f"{name} has the shape {list(value.shape)} for {len(bad)} images, expected "
                                 f"{[len(bad), self.widths[name]]}. Do student and teacher have the same class_num?")
            if not np.isfinite(value).all():
                raise InputError(f"{name} of {self.dataset.manifest.place(first)} or of its neighbours is not finite. Are the "
                                 "weights whole, and the transforms those that they were trained with?")
        return {name: np.where((bad == READABLE)[:, None], value, np.float32("nan")) for name, value in values.items()}

    def _finish(self) -> None:
        """Write the card and give the folder its name; what is left of the notes does no harm."""
        unreadable = self.partial.unreadable()
        UnreadableImages(self.dataset).update(unreadable)
        folder = self.partial.folder
        files = {name: _size(folder / name) for name in self.partial.files}
        write_json(folder / CARD, {"made_of": self.made_of, "images": len(self.dataset), "files": files,
                                   "unreadable": unreadable.tolist()})
        os.replace(folder, self.folder)
        sync_folder(self.folder.parent)
        for note in (*self.folder.glob("part-*.json"), self.folder / PLAN):
            note.unlink()

    def _map(self) -> Rows:
        arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in self.widths}
        return Rows(arrays, np.array(read_json(self.folder / CARD)["unreadable"], np.int64))


def _size(file: Path) -> int:
    """Bytes of a file, -1 if there is none."""
    return file.stat().st_size if file.is_file() else -1
