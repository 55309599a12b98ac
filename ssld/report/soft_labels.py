"""The page about a store of soft labels: how they are distributed, and crops of some images with their labels."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dedup.files import atomic_write, write_json

from ..checks import positive_int
from ..softlabels import inspect
from ..softlabels.store import Store
from . import layout
from .charts import Chart, inline, ticks
from .histograms import histogram
from .markup import Html, figure, join, markup, number, paragraph, percent, table
from .sections.crops import section as crops_section

PAGE, FIGURES = "index.html", "figures.json"
_BINS = 40
_KINDS = {
    "hard": "The top class has probability 1.",
    "smoothing": "The top class has its stored probability, the others share the rest evenly.",
    "marginal_smoothing": "The classes kept have their stored probabilities, the others share the rest evenly.",
    "marginal_renorm": "The classes kept have their stored probabilities divided by their sum, the others none.",
    "full": "Every class has its stored probability."}


def write_page(store: Store, found: inspect.Survey, folder: str | Path, root: str | Path | None, images: int = 12,
               names: Sequence[str] = ()) -> Path:
    """Write index.html, which opens from disk, and figures.json with the numbers.

    Args:
        store: that the page is about.
        found: of its crops.
        folder: of the page; is made.
        root: folder of the image paths, None if it is not known.
        images: shown with crops, at most.
        names: of the classes.

    Returns:
        The page.

    Raises:
        InputError: less than one image to show, or a folder that cannot be written.
    """
    page = Path(folder) / PAGE
    rows = inspect.evenly(found.rows, positive_int("--images", images))
    sections = [("What the store holds", _about(store)), ("What the labels are like", _labels(store, found)),
                ("Crops and their labels", crops_section(store, rows, root, names))]
    with atomic_write(page) as file:
        file.write(layout.page(f"Soft labels in {store.folder.name}", _header(store, found), sections, ["soft_labels.css"]))
    write_json(page.with_name(FIGURES), _json(store, found))
    return page


def charts(store: Store, found: inspect.Survey) -> dict[str, Chart]:
    """Title -> histogram over the crops; what is the same for all crops by its kind is left out."""
    facts = found.facts
    ends = {"Entropy of the label, nats": (facts.entropy, _round(facts.entropy)), "Highest probability": (facts.confidence, 1),
            "Kept mass": (facts.mass, 1), "Area of the crop, share of the image": (facts.area, 1),
            "Width / height of the crop": (facts.aspect, _round(facts.aspect))}
    constant = {"hard": list(ends)[:3], "full": ["Kept mass"], "smoothing": ["Kept mass"]}.get(store.codec.kind, [])
    return {title: _histogram(title, *end, found) for title, end in ends.items() if title not in constant}


def _round(values: np.ndarray) -> float:
    """A round number above all of them."""
    return ticks(0, float(values.max()))[-1]


def _histogram(title: str, values: np.ndarray, end: float, found: inspect.Survey) -> Chart:
    values = np.clip(values, 0, end)                    # rounding may lead beyond
    counts, edges = np.histogram(values, _BINS, (0, end))
    right = np.histogram(values[found.right], _BINS, (0, end))[0].tolist() if found.labelled else None
    return histogram(edges.tolist(), counts.tolist(), right, f"Histogram: {title}",
                     ("crops", "of them, top class is the image’s label"), height=220)


def _header(store: Store, found: inspect.Survey) -> Html:
    facts = dict(inspect.describe(store))
    lead = markup('<p class="lead">{} crops of each of {} images, labelled by {}.</p>', number(store.crops), facts["images"],
                  facts.get("teachers", "a teacher that is not known"))
    tiles = [(facts["bytes per crop"].split()[0], "bytes per crop"),
             (f"{found.facts.entropy.mean():.2f}", "nats, mean entropy of a label"),
             (percent(found.facts.confidence.mean()), "mean highest probability"),
             (percent(found.facts.mass.mean()), "mean kept mass")]
    if found.labelled:
        tiles.append((percent(found.right.sum() / found.labelled), "crops whose top class is the image’s label"))
    return join([lead, layout.tiles(tiles)])


def _about(store: Store) -> Html:
    rows = [(name, markup("<code>{}</code>", value) if name.startswith("SHA") else value)
            for name, value in inspect.describe(store)]
    return join([table(("", "value"), rows, text_columns=2), paragraph("{}", _KINDS[store.codec.kind])])


def _labels(store: Store, found: inspect.Survey) -> Html:
    told = paragraph("All figures are of {} crops of {} images, evenly spread over the {} readable ones; {}.",
                     number(len(found.right)), number(len(found.rows)), number(int(store.images.readable.sum())),
                     inspect.agreement(found))
    rows = [(name, *(f"{value:.3f}" for value in values)) for name, values in inspect.figures(store, found)]
    head = ("", "mean", *(f"{percentile} %" for percentile in inspect.PERCENTILES))
    drawn = [figure(markup("<h3>{}</h3>{}", title, inline(chart))) for title, chart in charts(store, found).items()]
    return join([told, table(head, rows, "Mean and percentiles"), markup('<div class="grid two">{}</div>', join(drawn))])


def _json(store: Store, found: inspect.Survey) -> dict:
    names = ["mean", *(f"{percentile} %" for percentile in inspect.PERCENTILES)]
    return {"store": dict(inspect.describe(store)), "images": len(found.rows), "crops": len(found.right),
            "figures": {name: dict(zip(names, values)) for name, values in inspect.figures(store, found)},
            "labelled_crops": found.labelled, "top_class_is_label": int(found.right.sum())}
