"""Pictures of matches: pool image left, evaluation image right, with the evidence drawn in."""
from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from . import geometry
from .errors import InputError
from .files import atomic_write
from .images import ImageError, decode_colour, read_bytes
from .match import Match
from .options import Options
from .picture import describe
from .threads import one_thread
from .verify import verify

_GAP = 8                        # pixels between pictures
_LINE_HEIGHT = 18               # pixels of a line of text
_BLACK, _GREEN, _ORANGE = (0, 0, 0), (40, 200, 60), (255, 140, 0)


class _Side(NamedTuple):
    """One of the two pictures as shown: `canvas` square RGB, and the map from pixels of the file into it."""

    canvas: np.ndarray
    into: np.ndarray


def certainty(match: Match) -> float:
    """Inliers times agreement; nothing for what geometry could not confirm, everything for equal bytes."""
    same_bytes = match.inliers == 0 and match.agreement == 1
    return math.inf if same_bytes else match.inliers * match.agreement


def least_certain_first(matches: Sequence[Match]) -> list[Match]:
    """The pairs in the order to look at them, since people look at ten; an override is no pair and left out."""
    return sorted((m for m in matches if m.reason != "override"), key=lambda m: (certainty(m), m.query))


def draw_match(match: Match, pool_root="", eval_root="", side: int = 240, options: Options = Options()) -> np.ndarray:
    """A picture of one removed pair, uint8 [H, W, 3] RGB.

    The inliers are computed again from the two files and drawn as lines; the orange outline is the pool image as the
    match places it on the evaluation image. Two lines of text give paths, reason and numbers.

    Args:
        match: as `read_matches` returns it.
        pool_root, eval_root: folders of its two paths; both paths of a pool-duplicate lie below `pool_root`. A listed
            file, whose folder is not known here, has the bytes of the pool image and is drawn from that.
        side: pixels of the square each image is fitted into.
        options: of the run.

    Raises:
        InputError: one of the two files cannot be read, or an override, which is a decision without a second picture.
    """
    if match.reason == "override":
        raise InputError(f"{match.query} was removed by an override: there is no second picture to draw beside it")
    query = _read(match.query, pool_root)
    if match.reason == "listed":
        data = query, query
    else:
        data = query, _read(match.reference, pool_root if match.reason == "pool-duplicate" else eval_root)
    (left, shape), (right, _) = (_fitted(d, side) for d in data)
    canvas = np.hstack([left.canvas, np.full((side, _GAP, 3), 255, np.uint8), right.canvas])
    shift = np.array([side + _GAP, 0])
    if match.affine is not None:
        height, width = shape
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
        outline = geometry.apply(right.into, geometry.apply(match.affine, corners))
        _draw_outline(canvas[:, side + _GAP:], outline)
        for start, stop in zip(*_inliers(data, match.mirrored, options)):
            start, stop = geometry.apply(left.into, start[None])[0], geometry.apply(right.into, stop[None])[0] + shift
            cv2.line(canvas, _pixel(start), _pixel(stop), _GREEN, 1, cv2.LINE_AA)
    lines = [f"{_short(match.query)} | {_short(match.reference)}", _numbers(match)]
    return np.vstack([canvas, _text(lines, canvas.shape[1])])


def contact_sheet(matches: Sequence[Match], pool_root="", eval_root="", columns: int = 2, side: int = 240,
                  options: Options = Options()) -> np.ndarray:
    """Many matches on one page, uint8 [H, W, 3] RGB; arguments as for `draw_match`. Overrides are left out.

    Raises:
        InputError: no match to draw, or a file that cannot be read.
    """
    pairs = [match for match in matches if match.reason != "override"]
    if not pairs:
        raise InputError("there is no pair to draw: nothing was removed, or by overrides only")
    tiles = [draw_match(m, pool_root, eval_root, side, options) for m in pairs]
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    rows = [tiles[i:i + columns] for i in range(0, len(tiles), columns)]
    rows[-1] = rows[-1] + [blank] * (columns - len(rows[-1]))
    return np.vstack([np.hstack([_framed(tile) for tile in row]) for row in rows])


def write_png(path, rgb: np.ndarray) -> None:
    """Write uint8 [H, W, 3] RGB as PNG, atomically."""
    with atomic_write(path, "wb") as file:
        file.write(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def _read(name: str, root) -> bytes:
    try:
        return read_bytes(os.path.join(root, name))
    except ImageError as error:
        raise InputError(f"{name} cannot be read below {os.fspath(root) or os.getcwd()}: {error}. Give the roots of "
                         "the run (--pool-root, --eval-root).") from error


def _fitted(data: bytes, side: int) -> tuple[_Side, tuple]:
    """The picture in the middle of a white square, and its size in the file."""
    decoded = decode_colour(data)
    factor = side / max(decoded.height, decoded.width)
    size = max(1, round(decoded.height * factor)), max(1, round(decoded.width * factor))
    small = cv2.resize(decoded.pixels, size[::-1], interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[top:top + size[0], left:left + size[1]] = small
    shape = decoded.height, decoded.width
    into = geometry.rescaling(shape, size)
    into[:, 2] += left, top
    return _Side(canvas, into), shape


def _inliers(data: tuple, mirrored: bool, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Inlying points of both pictures, [n, 2] each, in pixels of the files."""
    with one_thread():
        query, reference = (describe(d, options) for d in data)
        check = verify(query.view, reference.view.mirrored() if mirrored else reference.view, options)
    target = check.reference_points
    if mirrored:
        target = geometry.apply(geometry.mirroring(reference.view.shape[1]), target)
    return (geometry.apply(geometry.rescaling(query.view.shape, query.shape), check.query_points),
            geometry.apply(geometry.rescaling(reference.view.shape, reference.shape), target))


def _draw_outline(canvas: np.ndarray, outline: np.ndarray) -> None:
    part = np.ascontiguousarray(canvas)
    cv2.polylines(part, [np.round(outline).astype(np.int32)], True, _ORANGE, 2, cv2.LINE_AA)
    canvas[:] = part


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return int(round(point[0])), int(round(point[1]))


def _numbers(match: Match) -> str:
    parts = [match.reason, f"inliers {match.inliers}", f"agreement {match.agreement:.2f}"]
    if match.hash_distance is not None:
        parts.append(f"hash {match.hash_distance}")
    if match.cosine is not None:
        parts.append(f"cosine {match.cosine:.2f}")
    return ", ".join(parts + ["mirrored"] * match.mirrored)


def _short(name: str, length: int = 34) -> str:
    return name if len(name) <= length else "..." + name[3 - length:]


def _text(lines: Sequence[str], width: int) -> np.ndarray:
    """Lines of text on white; OpenCV's letters are ASCII, others become question marks."""
    strip = np.full((_LINE_HEIGHT * len(lines) + 4, width, 3), 255, np.uint8)
    for number, line in enumerate(lines, start=1):
        ascii_line = line.encode("ascii", "replace").decode()
        place = 3, _LINE_HEIGHT * number - 5
        cv2.putText(strip, ascii_line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _BLACK, 1, cv2.LINE_AA)
    return strip


def _framed(tile: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(tile, _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
