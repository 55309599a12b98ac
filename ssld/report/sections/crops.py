"""Some images of a store with boxes drawn in, and their crops as training sees them, with the labels."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dedup.images import ImageError

from ...data.transforms import DecodeImage
from ...softlabels import inspect
from ...softlabels.crops import Crops
from ...softlabels.store import Store
from ...softlabels.views import View
from ..markup import Html, count, figure, join, markup, paragraph
from ..pictures import embedded, lost, reduced

_CROPS = 6                      # shown per image; as many colours has the style sheet
_CLASSES = 5                    # named per crop
_PICTURE, _CROP = 420, 160      # pixels


def section(store: Store, rows: np.ndarray, root: str | Path | None, names: Sequence[str] = ()) -> Html:
    """A sheet for each image.

    Args:
        store: of the labels.
        rows: int64, the images to show.
        root: folder of the image paths; None if it is not known.
        names: of the classes.
    """
    there = [root is not None and (Path(root) / store.images.path[row]).is_file() for row in rows.tolist()]
    told = paragraph("Boxes are where the crops lie in the stored picture; beside it the crops as training cuts them, mirrored "
                     "where that is stored, from the surest label to the least sure. Below each: the classes with the highest "
                     "probabilities, and what the label leaves for the other classes together.")
    if not any(there):
        told = join([told, _without_pictures(store, root)])
    return join([told, *(_sheet(store, row, Path(root) if here else None, names) for row, here in zip(rows.tolist(), there))])


def _without_pictures(store: Store, root: str | Path | None) -> Html:
    why = "the store does not say where its images lie" if root is None else f"there is none of the images below {root}"
    return markup('<div class="caution"><p>No pictures: {}. Give their folder to <code>ssld soft-labels inspect {} --image-root'
                  "</code>.</p></div>", why, store.folder)


def _sheet(store: Store, row: int, root: Path | None, names: Sequence[str]) -> Html:
    path, label = store.images.path[row], int(store.images.label[row])
    chosen = _from_sure_to_unsure(store, row)
    crops = store.codec.crops(store.records(row)[chosen])
    picture, cuts = _pictures(store, row, crops, root) if root else (Html(""), [Html("")] * len(chosen))
    tiles = join(_tile(store, row, crop, place, cut, names) for place, (crop, cut) in enumerate(zip(chosen.tolist(), cuts)))
    said = f"labelled {_name(names, label)}" if label >= 0 else "no label"
    return markup('<section class="visit"><h4>{} <span class="note">{}</span></h4><div>{}</div><div class="crops">{}</div>'
                  "</section>", path, said, picture, tiles)


def _from_sure_to_unsure(store: Store, row: int) -> np.ndarray:
    """Numbers of some crops of an image, spread over the order of their entropy."""
    return inspect.evenly(np.argsort(inspect.entropy(store.codec, store.records(row)), kind="stable"), _CROPS)


def _pictures(store: Store, row: int, crops: Crops, root: Path) -> tuple[Html, list[Html]]:
    """The picture with the boxes, and the crops."""
    path, size = store.images.path[row], (int(store.images.height[row]), int(store.images.width[row]))
    try:
        pixels = np.asarray(DecodeImage(ignore_orientation=True)(root / path, None))
        if pixels.shape[:2] != size:
            raise ImageError(f"it has {pixels.shape[1]} x {pixels.shape[0]} pixels now, not {size[1]} x {size[0]}")
    except (ImageError, OSError) as error:
        return lost("cannot be shown", path, error), [Html("")] * len(crops.box)
    shown = markup('<div class="framed">{}{}</div>', embedded(reduced(pixels, _PICTURE), path, path), _boxes(crops, size))
    cuts = View(_CROP, "bilinear").cut(pixels, crops)
    return shown, [embedded(cut, f"crop {place} of {path}", "") for place, cut in enumerate(cuts, 1)]


def _boxes(crops: Crops, size: tuple[int, int]) -> Html:
    height, width = size
    drawn, numbers = [], []
    for place, (top, left, high, wide) in enumerate(crops.box.tolist()):
        box = markup('x="{}" y="{}" width="{}" height="{}"', left, top, wide, high)
        drawn.append(markup('<rect class="halo" {box}/><rect class="tint c{}" {box}/>', place, box=box))
        # at each corner in turn, so that fewer of them meet
        across = ("left", left) if place % 2 == 0 else ("right", width - left - wide)
        down = ("top", top) if place // 2 % 2 == 0 else ("bottom", height - top - high)
        numbers.append(markup('<b class="number tint c{}" style="{}:{}%;{}:{}%">{}</b>', place, across[0],
                              f"{100 * across[1] / width:.2f}", down[0], f"{100 * down[1] / height:.2f}", place + 1))
    return markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>{}', width, height,
                  join(drawn), join(numbers))


def _tile(store: Store, row: int, crop: int, place: int, cut: Html, names: Sequence[str]) -> Html:
    record, codec = store.records(row)[crop:crop + 1], store.codec
    box = codec.crops(record)
    _, _, height, width = box.box[0].tolist()
    told = markup('<b class="number tint c{}">{}</b> <span class="note">{} x {}{}</span>', place, place + 1, width, height,
                  ", mirrored" if box.flip[0] else "")
    return figure(cut, markup("{}<ol>{}</ol>", told, _label(store, record, int(store.images.label[row]), names)), "crop")


def _label(store: Store, record: np.ndarray, label: int, names: Sequence[str]) -> Html:
    """The classes of a crop's label, and what is left for the others."""
    ids, values = (found[0] for found in inspect.likeliest(store.codec, record, _CLASSES))
    lines = [_line(_name(names, c), p, "true" if c == label else "") for c, p in zip(ids.tolist(), values.tolist())]
    others = store.class_num - len(ids)
    rest = max(1 - float(values.sum()), 0)
    return join([*lines, _line(count(others, "other", "others"), rest, "rest") if others else Html("")])


def _line(name: str, probability: float, kind: str) -> Html:
    return markup('<li class="{}" title="{}"><span>{}</span><span>{}</span><span class="meter"><span style="width:{}%"></span>'
                  "</span></li>", kind, name, name, f"{probability:.4f}", f"{100 * probability:.1f}")


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f"class {label}"
