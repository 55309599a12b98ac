"""Pictures of a page: thumbnails and matched pairs, inside it as data or beside it as files."""
from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import cv2
import numpy as np

from dedup import ImageError, Match, read_colour
from dedup.files import atomic_write
from dedup.match import match_to_row
from dedup.sheet import draw_match

from ..errors import InputError
from .comparison import Comparison
from .markup import Html, markup

HOW_TO_READ = ("Pool image left, evaluation image right. Green lines join key points that agree; the orange outline is where "
               "the pool image lies on the evaluation image.")
_THUMBNAIL, _PAIR, _LARGE = 128, 240, 320       # pixels of the longer side; the large ones lie beside a page
_QUALITY = 86                                   # of JPEG
_SUFFIX = ".jpg"


def thumbnail(path: str, root: str, words: str) -> Html:
    """A small picture of an image file, or a box that says that it cannot be read."""
    try:
        pixels = _reduced(path, root, _THUMBNAIL)
    except ImageError as error:
        return lost("cannot be read", words, f"{path}: {error}")
    return embedded(pixels, words, path)


def pair(match: Match, comparison: Comparison) -> Html:
    """Pool image and evaluation image side by side with the evidence drawn in, or a box that says what is missing."""
    try:
        return embedded(_drawn(match, comparison, _PAIR), _words(match), "")
    except InputError as error:
        return lost("one of the two cannot be read", _words(match), error)


class PictureFolder(NamedTuple):
    """JPEG files beside a page, which are named by what they show, so that a second page finds them drawn.

    Attributes:
        folder: of the files.
        comparison: that the pictures are of.
        used: names of the files that the page shows.
    """

    folder: Path
    comparison: Comparison
    used: set[str]

    def pair(self, match: Match) -> Html:
        """As the function `pair`, larger, and read only when it comes into sight."""
        key = "\t".join([*match_to_row(match), *self.comparison.roots, repr(self.comparison.options), str(_LARGE)])
        try:
            return self._shown(key, lambda: _drawn(match, self.comparison, _LARGE), _words(match), 2 * _LARGE + 8, _LARGE)
        except InputError as error:
            return lost("one of the two cannot be read", _words(match), error)

    def single(self, path: str) -> Html:
        """One picture of the pool."""
        root = self.comparison.roots.pool
        try:
            return self._shown("\t".join([path, root, str(_LARGE)]), lambda: _reduced(path, root, _LARGE), f"pool image {path}")
        except ImageError as error:
            return lost("cannot be read", f"pool image {path}", error)

    def tidy(self) -> None:
        """Remove files of earlier pages that this one does not show."""
        if self.folder.is_dir():
            for file in self.folder.glob(f"*{_SUFFIX}"):
                if file.name not in self.used:
                    file.unlink()

    def _shown(self, key: str, draw: Callable[[], np.ndarray], words: str, *size: int) -> Html:
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24] + _SUFFIX
        if not (self.folder / name).exists():
            drawn = _jpeg(draw())
            with atomic_write(self.folder / name, "wb") as file:
                file.write(drawn)
        self.used.add(name)
        box = markup(' width="{}" height="{}"', *size) if size else Html("")
        place = quote(f"{self.folder.name}/{name}")
        return markup('<img loading="lazy" decoding="async" alt="{}"{} src="{}">', words, box, place)


def _drawn(match: Match, comparison: Comparison, side: int) -> np.ndarray:
    drawn = draw_match(match, *comparison.roots, side, comparison.options)
    return drawn[:side]         # below the pictures stands text, which a page sets itself


def reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture, uint8 [H, W, 3], with a longer side of at most `side` pixels."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor < 1:
        new_size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = cv2.resize(pixels, new_size, interpolation=cv2.INTER_AREA)
    return pixels


def _reduced(path: str, root: str, side: int) -> np.ndarray:
    return reduced(read_colour(os.path.join(root, path)), side)


def _words(match: Match) -> str:
    return f"pool image {match.query} beside evaluation image {match.reference}"


def lost(said: str, words: str, why) -> Html:
    """A box in place of a picture: what it says, what the picture would have shown, and why it is not there."""
    return markup('<span class="lost" role="img" aria-label="{}" title="{}">{}</span>', words, why, said)


def embedded(pixels: np.ndarray, words: str, title: str) -> Html:
    """A picture, uint8 [H, W, 3] RGB, inside the page as data."""
    return markup('<img alt="{}" title="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">', words, title,
                  pixels.shape[1], pixels.shape[0], base64.b64encode(_jpeg(pixels)).decode())


def _jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(_SUFFIX, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
