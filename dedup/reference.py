"""Columns of everything known about the reference pictures: arrays that are written once and memory-mapped later."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from . import hashes
from .files import atomic_write
from .picture import THUMBNAIL, Picture, View
from .sift import Features


class References:
    """Pictures as columns.

    Args:
        columns: sha256 uint8 [N, 32]; hashes uint8 [N, 8, 32]; quality int64 [N]; colour float64 [N, 3];
            shape, working_shape, thumbnail_shape int64 [N, 2] (height, width); thumbnail uint8 [N, 160, 160], filled
            from the upper left; offsets int64 [N + 1] into points, sizes, angles and descriptors;
            embedding float32 [N, D], unit rows, D = 0 without a network.
    """

    NAMES = ("sha256", "hashes", "quality", "colour", "shape", "working_shape", "thumbnail_shape", "thumbnail",
             "offsets", *Features._fields, "embedding")

    def __init__(self, columns: dict[str, np.ndarray]):
        self.columns = columns

    def __len__(self) -> int:
        return len(self["sha256"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @classmethod
    def of(cls, digests: list[bytes], pictures: list[Picture], colours: list, embedding: np.ndarray) -> References:
        """The columns of the given pictures."""
        features = [p.view.features for p in pictures]
        thumbnails = np.zeros((len(pictures), THUMBNAIL, THUMBNAIL), np.uint8)
        for row, picture in enumerate(pictures):
            height, width = picture.view.thumbnail.shape
            thumbnails[row, :height, :width] = picture.view.thumbnail
        return cls({
            "sha256": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
            "hashes": np.stack([hashes.dihedral_hashes(p.coefficients) for p in pictures]),
            "quality": np.array([p.quality for p in pictures]),
            "colour": np.stack(colours),
            "shape": np.array([p.shape for p in pictures]),
            "working_shape": np.array([p.view.shape for p in pictures]),
            "thumbnail_shape": np.array([p.view.thumbnail.shape for p in pictures]),
            "thumbnail": thumbnails,
            "offsets": np.cumsum([0] + [len(f.sizes) for f in features]),
            **{name: np.concatenate([getattr(f, name) for f in features]) for name in Features._fields},
            "embedding": embedding})

    def view(self, row: int, mirrored: bool) -> View:
        """What the geometric check needs of one picture."""
        span = slice(*self["offsets"][row:row + 2])
        height, width = self["thumbnail_shape"][row]
        features = Features(*(self[name][span] for name in Features._fields))
        view = View(features, tuple(self["working_shape"][row].tolist()), self["thumbnail"][row, :height, :width])
        return view.mirrored() if mirrored else view

    def save(self, folder) -> None:
        """Write every column to `folder` as an .npy file."""
        for name in self.NAMES:
            with atomic_write(Path(folder) / f"{name}.npy", "wb") as file:
                content = io.BytesIO()
                np.save(content, self[name], allow_pickle=False)
                file.write(content.getbuffer())

    @classmethod
    def load(cls, folder) -> References:
        """The columns in `folder`, memory-mapped."""
        return cls({name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                    for name in cls.NAMES})
