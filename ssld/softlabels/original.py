"""Files of the original soft label format: one for each image, written by PyTorch, read without it."""
from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..restricted_pickle import unpickle
from .codec import MARGINAL
from .crops import Crops

_MEMBER = "data.pkl"
_NEXT = "Copy it once more from where it came, or remove it: its image then counts as one without labels."
_FORMAT = "a list of three arrays: boxes float [M, 4], flips bool [M], labels"
_LARGEST_EXACT = 2048           # whole numbers up to here are exact in half precision
_SLACK = 1e-3                   # pixels; what fractions in single precision miss


class OriginalLabels(NamedTuple):
    """What a file says about M crops of its image.

    Attributes:
        coords: float64 [M, 4], (top, left, height, width) as fractions of the image's height, width, height, width.
        flip: bool [M], whether the crop is mirrored.
        label: int64 or float [M], [M, 2], [M, 2, K] or [M, C]; see `kind_of`.
        precision: spacing of the fractions below 1, from the type they are stored in.
    """

    coords: np.ndarray
    flip: np.ndarray
    label: np.ndarray
    precision: float

    def first(self, crops: int) -> OriginalLabels:
        """What it says about the first ones."""
        return self._replace(coords=self.coords[:crops], flip=self.flip[:crops], label=self.label[:crops])


def read_original(file: str | Path) -> OriginalLabels:
    """Read one file: a zip whose member data.pkl is a pickle of three numpy arrays, in single or half precision.

    Nothing that the file asks for is run, and it takes no more memory than a few times its size.

    Raises:
        InputError: missing, truncated, not of this format, or asking for more than arrays; says which file.

    Source: the files that Shen & Xing, arXiv:2112.01528, published with the method.
    """
    data = _pickle_of(Path(file))
    try:
        content = unpickle(data)
    except InputError as error:
        raise InputError(f"{file}: {error} Soft labels need only numpy arrays; this file holds something else, such as PyTorch "
                         "tensors, or was made to run code.") from error
    except Exception as error:          # a broken pickle raises nearly anything
        raise InputError(f"{file} is damaged ({type(error).__name__}: {error}). {_NEXT}") from error
    return _checked(content, file)


def kind_of(label: np.ndarray) -> tuple[str, int | None]:
    """What the shape of a label array means, and its K where it has one.

    [M] ids are hard labels, [M, 2] rows of id and probability are smoothing, [M, 2, K] rows of ids and of probabilities are
    marginal_smoothing (marginal_renorm has the same bytes), any other [M, C] is full.
    """
    if label.ndim == 3:
        return MARGINAL[0], label.shape[2]
    if label.ndim == 1:
        return "hard", None
    return ("smoothing" if label.shape[1] == 2 else "full"), None


def check_kind(kind: str, label: np.ndarray, file: str | Path) -> None:
    """Refuse a kind that labels of this shape cannot be.

    Raises:
        InputError: naming the shape, and what it can be.
    """
    found = kind_of(label)[0]
    possible = {"smoothing": ("smoothing", "full"), MARGINAL[0]: MARGINAL}.get(found, (found,))
    if kind not in possible:
        raise InputError(f"{file} has labels of the shape {list(label.shape)}, which can be {' or '.join(possible)}, "
                         f"not {kind}.")


def top_of(original: OriginalLabels, file: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The classes that a file keeps of each crop, and their probabilities; not of full labels.

    Returns:
        ids int64 [M, K] and probabilities float64 [M, K]; 1 for the class of a hard label.

    Raises:
        InputError: ids that are no whole numbers, or that half precision cannot tell apart.
    """
    label = original.label
    if label.ndim == 1:
        label = np.stack([label, np.ones_like(label)], axis=1)
    ids, kept = (label[:, 0], label[:, 1]) if label.ndim == 3 else (label[:, :1], label[:, 1:])
    if (ids != np.round(ids)).any():
        raise InputError(f"{file} has class ids that are no whole numbers, such as {ids[ids != np.round(ids)][0]}. {_NEXT}")
    if ids.dtype == np.float16 and ids.max(initial=0) >= _LARGEST_EXACT:
        raise InputError(f"{file} has class ids in half precision, which cannot tell ids from {_LARGEST_EXACT} on apart. These "
                         "labels are lost: generate them again in single precision.")
    return ids.astype(np.int64), kept.astype(np.float64)


def pixel_crops(original: OriginalLabels, width: int, height: int, file: str | Path) -> tuple[Crops, int]:
    """The crops in pixels of an image.

    They were drawn in whole pixels, which single precision gives back exactly, and half precision for sides below 2048.

    Args:
        original: labels of the image.
        width, height: of the image, pixels.
        file: for errors.

    Returns:
        The crops, and how many of them were no whole pixels before rounding: the labels were then made for an image of another
        size.

    Raises:
        InputError: a box that is empty or ends outside the image.
    """
    sides = np.array([height, width, height, width])
    exact, slack = original.coords * sides, 2 * original.precision * sides + _SLACK
    box = np.round(exact).astype(np.int64)
    place, size = np.maximum(box[:, :2], 0), box[:, 2:]
    outside = (exact[:, :2] < -slack[:2]) | (exact[:, :2] + exact[:, 2:] > (sides + slack)[:2])
    wrong = (outside | (size < 1)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{file}: crop {row}, {original.coords[row].round(4).tolist()} as fractions (top, left, height, "
                         f"width), is empty or ends outside its image of {width} x {height} pixels. Is it the image that the "
                         "labels were made for?")
    size = np.minimum(size, sides[:2] - place)          # half precision may put a border beyond the image's by one pixel
    return Crops(np.concatenate([place, size], axis=1), original.flip), int((np.abs(exact - box) > slack).any(axis=1).sum())


def _pickle_of(file: Path) -> bytes:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if info.filename.split("/")[-1] == _MEMBER]
            # stored as they are, so that reading cannot make much of little
            if len(members) == 1 and members[0].compress_type == zipfile.ZIP_STORED and not members[0].flag_bits & 1:
                return archive.read(members[0])
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist.") from error
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise InputError(f"{file} is no file of the original soft label format ({error}): expected the zip file that PyTorch "
                         f"1.6 or later writes. If it was cut off: {_NEXT}") from error
    raise InputError(f"{file} is a zip file, but not one that PyTorch writes: expected one uncompressed member */{_MEMBER}.")


def _checked(content, file: str | Path) -> OriginalLabels:
    if not isinstance(content, (list, tuple)) or len(content) != 3 or not all(isinstance(a, np.ndarray) for a in content):
        raise InputError(f"{file} does not hold what the original soft label format has: expected {_FORMAT}.")
    coords, flip, label = map(np.asarray, content)
    count = len(coords) if coords.ndim else 0
    shapes = f"boxes {coords.dtype} {list(coords.shape)}, flips {flip.dtype} {list(flip.shape)}, labels {label.dtype} " \
             f"{list(label.shape)}"
    fits = (coords.shape == (count, 4) and count > 0 and coords.dtype.kind == "f" and flip.shape == (count,)
            and flip.dtype.kind in "biuf" and label.dtype.kind in "iuf" and _is_label(label.shape, count))
    if not fits:
        raise InputError(f"{file} holds {shapes}; expected {_FORMAT} [M], [M, 2], [M, 2, K] or [M, C].")
    if not np.isfinite(coords).all() or not np.isin(flip, (0, 1)).all() or not np.isfinite(label).all():
        raise InputError(f"{file} holds values that are no finite numbers, or flips other than 0 and 1. {_NEXT}")
    return OriginalLabels(coords.astype(np.float64), flip.astype(bool), label, float(np.finfo(coords.dtype).eps))


def _is_label(shape: tuple, count: int) -> bool:
    """Whether an array of this shape can be the labels of `count` crops."""
    return shape[:1] == (count,) and (len(shape) == 1 or len(shape) == 2 and shape[1] >= 2
                                      or len(shape) == 3 and shape[1] == 2 and shape[2] >= 1)

