"""Pictures inside the page: thumbnails and matched pairs, as data of their own <img>."""
from __future__ import annotations

import base64
import os

import cv2
import numpy as np

from dedup import ImageError, Match, read_colour
from dedup.sheet import draw_match

from ..errors import InputError
from .expansion import Expansion
from .markup import Html, markup

_THUMBNAIL, _PAIR = 128, 240    # pixels of the longer side
_QUALITY = 86                   # of JPEG


def thumbnail(path: str, root: str, words: str) -> Html:
    """A small picture of an image file, or a box that says that it cannot be read."""
    try:
        pixels = read_colour(os.path.join(root, path))
    except ImageError as error:
        return markup('<span class="lost" role="img" aria-label="{}" title="{}">cannot be read</span>', words,
                      f"{path}: {error}")
    height, width = pixels.shape[:2]
    factor = _THUMBNAIL / max(height, width)
    if factor < 1:
        new_size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = cv2.resize(pixels, new_size, interpolation=cv2.INTER_AREA)
    return _image(pixels, words, path)


def pair(match: Match, expansion: Expansion) -> Html:
    """Pool image and evaluation image side by side with the evidence drawn in, or a box that says what is missing."""
    words = f"pool image {match.query} beside evaluation image {match.reference}"
    try:
        drawn = draw_match(match, expansion.root("pool"), expansion.root("evaluation"), _PAIR, expansion.options)
    except InputError as error:
        return markup('<span class="lost" role="img" aria-label="{}" title="{}">one of the two cannot be read</span>',
                      words, error)
    return _image(drawn[:_PAIR], words, "")         # below the pictures stands text, which the page sets itself


def _image(pixels: np.ndarray, words: str, title: str) -> Html:
    data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return markup('<img alt="{}" title="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">', words, title,
                  pixels.shape[1], pixels.shape[0], base64.b64encode(data.tobytes()).decode())
