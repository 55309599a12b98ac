"""Edited copies of pictures, planted to measure what a method finds."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from ..images import read_colour, working_image
from ..threads import one_thread

Edit = Callable[[np.ndarray, np.random.Generator], np.ndarray]
_QUALITY = 90                   # of the JPEG files that copies are written to
_LONGEST = 1024                 # pixels; larger pictures are reduced before they are edited
_LETTERS = "ABCDEFGHKLMNPRSTUXYZ0123456789 "


def _recompressed(quality: int) -> Edit:
    def edit(image, random):
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return edit


def _resized(image: np.ndarray, horizontal: float, vertical: float) -> np.ndarray:
    size = max(1, round(image.shape[1] * horizontal)), max(1, round(image.shape[0] * vertical))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _scaled(horizontal: float, vertical: float) -> Edit:
    return lambda image, random: _resized(image, horizontal, vertical)


def _thumbnail(side: int) -> Edit:
    def edit(image, random):
        factor = min(1.0, side / max(image.shape[:2]))
        return _resized(image, factor, factor)
    return edit


def _cropped(area: float) -> Edit:
    """A rectangle of the picture's own shape, anywhere in it; `area` is its share."""
    def edit(image, random):
        height, width = (max(1, int(side * area ** 0.5)) for side in image.shape[:2])
        top, left = random.integers(image.shape[0] - height + 1), random.integers(image.shape[1] - width + 1)
        return image[top:top + height, left:left + width]
    return edit


def _mirrored(image, random):
    return image[:, ::-1]


def _brightened(contrast: float, brightness: float) -> Edit:
    """contrast * (brightness * pixel - 128) + 128, clipped."""
    def edit(image, random):
        return _clipped(contrast * (brightness * image.astype(np.float32) - 128) + 128)
    return edit


def _blurred(image, random):
    return cv2.GaussianBlur(image, (0, 0), max(image.shape[:2]) / 250)


def _noisy(image, random):
    return _clipped(image + random.normal(0, 20, image.shape))


def _lettered(image, random):
    """Three lines of random letters in random colours."""
    image, height = np.ascontiguousarray(image).copy(), image.shape[0]
    for line in range(3):
        text = "".join(random.choice(list(_LETTERS), 12))
        place = int(random.integers(image.shape[1] // 3 + 1)), (3 * line + 2) * height // 10
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, max(0.4, height / 250),
                    random.integers(0, 256, 3).tolist(), max(1, height // 120), cv2.LINE_AA)
    return image


def _framed(image, random):
    side = round(0.15 * max(image.shape[:2]))
    return cv2.copyMakeBorder(image, side, side, side, side, cv2.BORDER_CONSTANT, value=random.integers(0, 256, 3).tolist())


def _turned(degrees: float) -> Edit:
    """Turned either way on a canvas that holds all of it."""
    def edit(image, random):
        height, width = image.shape[:2]
        into = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * random.choice((-1, 1)), 1)
        cosine, sine = np.abs(into[0, :2])
        size = round(width * cosine + height * sine), round(width * sine + height * cosine)
        into[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
        return cv2.warpAffine(image, into, size, flags=cv2.INTER_CUBIC)
    return edit


def _quarter_turned(image, random):
    return np.rot90(image, random.choice((1, 3)))


def _slanted(image, random):
    """Every corner moved inwards by up to 15 %, then stretched to the full frame."""
    height, width = image.shape[:2]
    frame = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    inwards = np.float32([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * random.uniform(0, 0.15, (4, 2)) * (width, height)
    into = cv2.getPerspectiveTransform(np.float32(frame + inwards), frame)
    return cv2.warpPerspective(image, into, (width, height), flags=cv2.INTER_CUBIC)


def _grey(image, random):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _all_of(*edits: Edit) -> Edit:
    def edit(image, random):
        for step in edits:
            image = np.ascontiguousarray(step(image, random))
        return image
    return edit


def _clipped(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


EDITS: Mapping[str, Edit] = {
    "jpeg30": _recompressed(30), "resize50": _scaled(0.5, 0.5), "thumb128": _thumbnail(128), "aspect": _scaled(0.7, 1),
    "crop70": _cropped(0.7), "crop50": _cropped(0.5), "crop25": _cropped(0.25),
    "flip": _mirrored, "bright": _brightened(1.3, 1.4), "dark": _brightened(0.7, 0.55), "grey": _grey,
    "blur": _blurred, "noise": _noisy, "text": _lettered, "border": _framed,
    "rot5": _turned(5), "rot15": _turned(15), "rot90": _quarter_turned, "perspective": _slanted,
    "combo_light": _all_of(_cropped(0.7), _mirrored, _brightened(1, 1.25), _recompressed(40)),
    "combo_hard": _all_of(_cropped(0.5), _grey, _turned(10), _lettered, _thumbnail(256), _recompressed(30)),
}


def edited(image: np.ndarray, edit: str, seed: int, name: str) -> np.ndarray:
    """A copy of a picture, edited.

    Args:
        image: uint8 [H, W, 3] RGB.
        edit: one of EDITS.
        seed, name: of the randomness, with the edit; the copy depends on nothing else.

    Returns:
        uint8 [H', W', 3] RGB.
    """
    random = np.random.default_rng(int.from_bytes(digest_of(seed, edit, name)[:16], "big"))
    return np.ascontiguousarray(EDITS[edit](np.ascontiguousarray(image), random))


def plant(file, name: str, edit: str, seed: int, out) -> None:
    """Write an edited copy of the picture in `file` to the scratch file `out`, as JPEG.

    Raises:
        ImageError: no picture could be read.
    """
    with one_thread():
        image = working_image(read_colour(file), _LONGEST, 0)
        copy = cv2.cvtColor(edited(image, edit, seed, name), cv2.COLOR_RGB2BGR)
    Path(out).write_bytes(cv2.imencode(".jpg", copy, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())


def digest_of(seed: int, *names: str) -> bytes:
    """32 bytes that stand for a seed and names, the same everywhere: what random choices are made from."""
    return hashlib.sha256("\0".join([str(seed), *names]).encode("utf-8", "surrogateescape")).digest()
