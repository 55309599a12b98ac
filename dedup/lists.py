"""Image lists: text files of `path label` lines, held compactly enough for fourteen million rows."""
from __future__ import annotations

import codecs
import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import InputError
from .paths import Paths, byte_places

UNLABELLED = -1
_LINES_PER_BLOCK, _BYTES_PER_BLOCK = 1 << 20, 1 << 24
_MAX_DIGITS = 18                # every such number fits an int64


class ImageList(NamedTuple):
    """What a list file says: `paths` [N], `labels` int64 [N] (-1: unlabelled), `lines` int64 [N] (from 1), `text` [N].

    `text` holds the lines as they stand in the file, without trailing blanks.
    """

    paths: Paths
    labels: np.ndarray
    lines: np.ndarray
    text: Paths


def read_list(file, delimiter: str = " ") -> ImageList:
    """Read a list of images: one `path<delimiter>label` or `path` per line, UTF-8, plain or `.gz`.

    The text after the last delimiter is a label only if it is an integer; any negative label, like none at all,
    means unlabelled (-1). Blank lines are passed over. Fourteen million lines take seconds: no Python loop over lines.

    Args:
        file: the list.
        delimiter: one character; the default is a space, use "\\t" for paths that end in a space and a number.

    Raises:
        InputError: no such file, not a readable list, no line at all, or a tab where the delimiter is a space.
    """
    file = Path(file)
    if len(delimiter.encode()) != 1:
        raise InputError(f"delimiter {delimiter!r} must be a single character, such as ' ' or '\\t'")
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        raw = raw.removeprefix(codecs.BOM_UTF8)
        _require_utf8(raw)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as an image list: {error}. Expected a UTF-8 text file (or .gz of one) "
                         "with one 'path label' or 'path' per line.") from error
    text = np.frombuffer(raw, np.uint8)
    starts, stops = _line_spans(text)
    lines = np.flatnonzero(stops > starts) + 1
    starts, stops = starts[lines - 1], stops[lines - 1]
    if not len(lines):
        raise InputError(f"{file} lists no image: all of its {len(raw)} bytes are blank. Expected one 'path label' or "
                         "'path' per line.")
    if delimiter == " " and (tab := raw.find(b"\t")) >= 0:
        number = raw.count(b"\n", 0, tab) + 1
        line = raw.splitlines()[number - 1].decode()
        raise InputError(f"{file}:{number}: {line!r} holds a tab, but the delimiter is a space. Set the delimiter to "
                         "\"\\t\".")
    blocks = range(0, len(lines), _LINES_PER_BLOCK)
    delimiters = byte_places(text, delimiter.encode())
    parsed = [_parse_block(text, delimiters, starts[b:b + _LINES_PER_BLOCK], stops[b:b + _LINES_PER_BLOCK])
              for b in blocks]
    path_stops = np.concatenate([p[0] for p in parsed])
    labels = np.concatenate([p[1] for p in parsed])
    if (path_stops <= starts).any():
        number = lines[np.argmax(path_stops <= starts)]
        raise InputError(f"{file}:{number}: a label without a path. Expected 'path{delimiter}label'.")
    return ImageList(Paths(text, starts, path_stops), labels, lines, Paths(text, starts, stops))


def _require_utf8(raw: bytes) -> None:
    """Raise UnicodeDecodeError unless `raw` is UTF-8; in blocks, since the whole as a string would double the memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for offset in range(0, len(raw), _BYTES_PER_BLOCK):
        decoder.decode(raw[offset:offset + _BYTES_PER_BLOCK])
    decoder.decode(b"", final=True)


def _line_spans(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Byte spans of all lines, without trailing "\\r" and blanks; blank lines have stop <= start."""
    newlines = byte_places(text, b"\n")
    starts = np.concatenate([[0], newlines + 1])
    stops = np.concatenate([newlines, [len(text)]])
    if not len(text):
        return starts, stops
    while True:                 # rounds as many as the longest run of trailing blanks
        last = text[np.maximum(stops - 1, 0)]
        blank = (stops > starts) & ((last == ord("\r")) | (last == ord(" ")) | (last == ord("\t")))
        if not blank.any():
            return starts, stops
        stops = stops - blank


def _parse_block(text, delimiters, starts, stops) -> tuple[np.ndarray, np.ndarray]:
    """Where the path of each line stops, and its label: the integer after the last delimiter, else -1."""
    if not len(delimiters):
        return stops, np.full(len(starts), UNLABELLED, np.int64)
    place = np.searchsorted(delimiters, stops) - 1
    last = delimiters[np.maximum(place, 0)]
    last = np.where((place >= 0) & (last >= starts), last, stops - 1)       # none: an empty token
    first = text[np.minimum(last + 1, len(text) - 1)]
    negative = (first == ord("-")) & (stops - last > 2)
    digits = stops - last - 1 - negative
    is_integer = (digits > 0) & (digits <= _MAX_DIGITS)
    value = np.zeros(len(starts), np.int64)
    for place_value in range(int(min(digits.max(initial=0), _MAX_DIGITS))):
        rows = np.flatnonzero(is_integer & (digits > place_value))
        digit = text[stops[rows] - 1 - place_value].astype(np.int64) - ord("0")
        is_integer[rows] &= (digit >= 0) & (digit <= 9)
        value[rows] += np.where((digit >= 0) & (digit <= 9), digit, 0) * 10 ** place_value
    labels = np.where(is_integer & ~negative, value, UNLABELLED)
    path_stops = np.where(is_integer, last, stops)
    separator = text[np.minimum(last, len(text) - 1)]
    while True:                 # "path   7": blanks between path and label belong to neither
        blank = is_integer & (path_stops > starts) & (text[np.maximum(path_stops - 1, 0)] == separator)
        if not blank.any():
            return path_stops, labels
        path_stops = path_stops - blank
