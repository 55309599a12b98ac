"""An image-classification task cut from the photographs that scikit-image ships: which photograph is this from?

Every photograph is divided into cells, and every cell serves one purpose: training, evaluation or pool. A patch never
leaves its cell, so what is evaluated is seen nowhere else, except in the copies that are planted in the pool on
purpose. Patches of foreign photographs and files that cannot be read complete the pool.
"""
from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import math
import random
from collections import Counter
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Sequence

import PIL
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps, ImageStat

from dedup.files import atomic_write, write_json

from ..errors import InputError

# Left out on purpose: motorcycle_right is the stereo twin of motorcycle_left and microaneurysms shows a retina, so
# neither is a class beside the other nor foreign to it; clock_motion is flat but for one spot.
CLASSES = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
           "gravel.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
           "text.png")
FOREIGN = ("cell.png", "horse.png", "moon.png", "page.png")
FEWEST_CLASSES, FEWEST_FOREIGN = 10, 2
LICENCE = ("Cut from photographs that scikit-image distributes. Its documentation of skimage.data calls them CC0, "
           "public domain or free of known copyright restrictions, but states nothing for moon and page, nor for "
           "motorcycle_left, which is from the Middlebury 2014 stereo benchmark: ask before you publish those.")

SIDE = 64               # pixels of a patch
AREA = 576 * 576        # pixels to which every photograph is resized, so that a window means the same in all
CELL = 96               # least side of a cell
MARGIN = 4              # unused pixels along each side of a cell, because resizing blurs across the border
PURPOSES = ("train", "val", "pool", "pool")     # of every four neighbouring cells of a class
CANDIDATES = 8          # windows compared for each patch; the one that overlaps earlier patches least is taken
ROUNDS = 50             # of candidates, before a cell counts as too flat
QUALITY = 90            # of JPEG files, unless a copy says otherwise


class Sizes(NamedTuple):
    """How many images: train, val and clean (pool) per class; pool entries of the other kinds in all."""

    train: int = 20
    val: int = 40
    clean: int = 68
    foreign: int = 200
    copies: int = 150
    corrupt: int = 5
    missing: int = 1


class Variation(NamedTuple):
    """How much the patches of one photograph differ; more makes the task harder.

    Attributes:
        window: least and greatest side of the square that becomes a patch, in pixels of a 576 x 576 photograph.
        rotation: greatest angle either way, degrees in [0, 45].
        jitter: brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter, in [0, 0.99].
        contrast: least standard deviation of a patch's grey levels, in [0, 127]; flatter ones are not taken.
    """

    window: tuple = (48, 72)
    rotation: float = 12.0
    jitter: float = 0.2
    contrast: float = 12.0


class Patch(NamedTuple):
    """Where a patch lies and how it looks.

    Attributes:
        box: left, top, right, bottom in the resized photograph, pixels.
        window: side of the square in the middle of the box that becomes the patch, pixels.
        angle: by which the box is turned first, degrees.
        factors: of brightness, contrast and saturation.
    """

    box: tuple
    window: float
    angle: float
    factors: tuple


class PoolEntry(NamedTuple):
    """One pool image: its bytes (None: no such file) and what `truth.csv` says about it."""

    data: Optional[bytes]
    kind: str
    source: str = ""
    edits: str = ""


class TaskSummary(NamedTuple):
    """What a task consists of: its files and the number of images of each kind."""

    root: Path
    train_list: Path
    val_list: Path
    pool_list: Path
    classes: Path
    truth: Path
    about: Path
    counts: dict


def make_task(out, seed: int = 0, sizes: Sizes = Sizes(), variation: Variation = Variation(),
              grey: bool = False) -> TaskSummary:
    """Write the task into a folder: JPEG patches of 64 x 64 pixels, image lists, class names, the truth on the pool.

    The same arguments give the same bytes, and a folder that holds the task already is left alone. `truth.csv` is for
    judging curation afterwards; nothing that curates or trains may read it.

    Args:
        out: the folder. Its `about.json` is written last: where it is, everything is.
        seed: of all random choices.
        sizes: how many images of each kind.
        variation: how much the patches of one photograph differ.
        grey: take the colours away, which makes the task harder.

    Raises:
        InputError: scikit-image or its photographs are missing, an argument is out of range, or `out` holds a task
            made with other arguments.
    """
    check_arguments(sizes, variation)
    arguments = {"seed": seed, "sizes": sizes._asdict(), "grey": bool(grey),
                 "variation": {**variation._asdict(), "window": list(variation.window)}}
    root = Path(out)
    counts = counts_of_earlier_task(root / "about.json", arguments)
    if counts is None:
        counts = write_task(root, arguments, sizes, variation)
    files = ("train_list.txt", "val_list.txt", "pool_list.txt", "classes.txt", "truth.csv", "about.json")
    return TaskSummary(root, *(root / file for file in files), counts)


def check_arguments(sizes: Sizes, variation: Variation) -> None:
    """Refuse sizes that no task can have, and windows that do not fit into a cell."""
    for name, value in sizes._asdict().items():
        least = 1 if name in ("train", "val") else 0
        if not isinstance(value, int) or value < least:
            raise InputError(f"sizes.{name} must be a whole number of at least {least}, not {value!r}.")
    for name, low, high in (("rotation", 0, 45), ("jitter", 0, 0.99), ("contrast", 0, 127)):
        value = getattr(variation, name)
        if not low <= value <= high:
            raise InputError(f"variation.{name} must lie between {low} and {high}, not {value!r}.")
    least, greatest = variation.window
    room = CELL - 2 * MARGIN
    if not 8 <= least <= greatest or reach(greatest, variation.rotation) > room:
        raise InputError(f"variation.window must be (least, greatest) side of a square, from 8 pixels up to what fits "
                         f"into {room} pixels when turned by {variation.rotation} degrees, not {variation.window!r}.")


def counts_of_earlier_task(about: Path, arguments: dict) -> Optional[dict]:
    """The counts in `about`, None if there is no such file; an InputError if it was written for other arguments."""
    if not about.exists():
        return None
    try:
        earlier = json.loads(about.read_text(encoding="utf-8"))
        if earlier["arguments"] == arguments:
            return earlier["counts"]
    except (ValueError, KeyError, TypeError):
        earlier = {"arguments": "something else"}
    raise InputError(f"{about.parent} holds a task made with {earlier['arguments']}, but {arguments} is asked for. "
                     "Choose another folder, or remove this one.")


def write_task(root: Path, arguments: dict, sizes: Sizes, variation: Variation) -> dict:
    """Write all files of the task, `about.json` last, and return the counts."""
    seed, grey = arguments["seed"], arguments["grey"]
    classes = read_photographs(CLASSES, FEWEST_CLASSES, grey)
    foreign = read_photographs(FOREIGN, FEWEST_FOREIGN, grey)
    cuttings = {purpose: [] for purpose in ("train", "val", "pool", "foreign")}
    for name, photograph, wanted, purposes in orders(classes, foreign, sizes, variation):
        for purpose, pairs in cut_patches(name, photograph, wanted, purposes, variation, seed).items():
            cuttings[purpose] += [(name, encode(image)) for _, image in pairs]
    labels = {name: label for label, name in enumerate(classes)}
    names = (f"images/{hashlib.sha256(f'{seed} {n}'.encode()).hexdigest()[:16]}.jpg" for n in count())
    (root / "images").mkdir(parents=True, exist_ok=True)
    write_labelled(root, "train_list.txt", cuttings["train"], labels, names)
    evaluation = write_labelled(root, "val_list.txt", cuttings["val"], labels, names)
    rng = random.Random(f"{seed} pool")
    pool = [PoolEntry(data, "clean", name) for name, data in cuttings["pool"]]
    pool += [PoolEntry(data, "foreign", name) for name, data in cuttings["foreign"]]
    pool += plant_copies(evaluation, sizes.copies, rng) + unreadable(sizes.corrupt, sizes.missing)
    rng.shuffle(pool)
    write_pool(root, pool, names)
    with atomic_write(root / "classes.txt") as file:
        file.writelines(f"{name}\n" for name in classes)
    counts = {"classes": len(classes), "train": len(cuttings["train"]), "val": len(evaluation), "pool": len(pool),
              **dict(sorted(Counter(entry.kind for entry in pool).items()))}
    write_json(root / "about.json", {"arguments": arguments, "counts": counts, "classes": list(classes),
                                     "foreign": list(foreign), "licence": LICENCE, "pillow": PIL.__version__})
    return counts


def orders(classes: dict, foreign: dict, sizes: Sizes, variation: Variation) -> Iterator[tuple]:
    """What to cut: (name, photograph, purpose -> number of patches, purposes of neighbouring cells)."""
    for name, photograph in classes.items():
        yield name, photograph, {"train": sizes.train, "val": sizes.val, "pool": sizes.clean}, PURPOSES
    # A foreign photograph gives as much as it has texture, lest a small one fill the pool with repetitions.
    owners = [name for name, photograph in foreign.items() for _ in textured_cells(photograph, variation)]
    for name, number in Counter(islice(cycle(owners), sizes.foreign)).items():
        yield name, foreign[name], {"foreign": number}, ("foreign",)


def read_photographs(files: Sequence[str], fewest: int, grey: bool) -> dict:
    """The photographs that are installed, by name, in RGB and resized to about `AREA` pixels.

    They are read from the package's folder, because `skimage.data` would download what is absent.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise InputError("The task of photographs is cut from images that scikit-image ships, but scikit-image is not "
                         "installed. Run: pip install ssld[demo]")
    folder = Path(package.origin).parent / "data"
    present = [folder / file for file in files if (folder / file).is_file()]
    if len(present) < fewest:
        raise InputError(f"{folder} holds {len(present)} of the photographs {', '.join(files)}, but {fewest} are "
                         "needed. Reinstall scikit-image: pip install --force-reinstall 'scikit-image>=0.22,<0.27'")
    return {path.stem: read_photograph(path, grey) for path in present}


def read_photograph(path: Path, grey: bool) -> Image.Image:
    """One photograph in RGB, its aspect ratio kept."""
    with Image.open(path) as file:
        photograph = (file.convert("L") if grey else file).convert("RGB")
    scale = math.sqrt(AREA / (photograph.width * photograph.height))
    return photograph.resize([round(side * scale) for side in photograph.size], Image.BICUBIC)


def textured_cells(photograph: Image.Image, variation: Variation) -> list:
    """Boxes of cells with enough contrast, without margins, along a line that winds through the photograph."""
    width, height = photograph.size
    columns, rows = width // CELL, height // CELL
    places = [(column, row) for row in range(rows) for column in range(columns)[::-1 if row % 2 else 1]]
    cells = [(column * width // columns + MARGIN, row * height // rows + MARGIN,
              (column + 1) * width // columns - MARGIN, (row + 1) * height // rows - MARGIN) for column, row in places]
    return [cell for cell in cells if is_textured(photograph.crop(cell), variation)]


def is_textured(image: Image.Image, variation: Variation) -> bool:
    """Whether more than half of nine windows of middle size have enough contrast."""
    side = round(sum(variation.window) / 2)
    places = [(x * (image.width - side) // 2, y * (image.height - side) // 2) for x in range(3) for y in range(3)]
    return sum(contrast(image.crop((x, y, x + side, y + side))) >= variation.contrast for x, y in places) > 4


def contrast(image: Image.Image) -> float:
    """Standard deviation of the grey levels."""
    return ImageStat.Stat(image.convert("L")).stddev[0]


def cut_patches(name: str, photograph: Image.Image, wanted: dict, purposes: Sequence[str], variation: Variation,
                seed: int) -> dict:
    """Purpose -> `wanted[purpose]` pairs of Patch and image of one photograph; different purposes share no pixel.

    Each run of neighbouring textured cells gets `purposes` in a random order; too few cells are an InputError.
    """
    rng = random.Random(f"{seed} {name}")
    cells = textured_cells(photograph, variation)
    if len(cells) < len(purposes):
        raise InputError(f"{name} has {len(cells)} parts with a contrast of {variation.contrast} grey levels, but "
                         f"{len(purposes)} are needed. Lower variation.contrast.")
    dealt = list(zip(cells, chain.from_iterable(rng.sample(purposes, len(purposes)) for _ in cells)))
    cuttings = {purpose: [] for purpose in wanted}
    for purpose, pairs in cuttings.items():
        own = [cell for cell, its_purpose in dealt if its_purpose == purpose]
        for cell in islice(cycle(own), wanted[purpose]):
            pairs.append(cut_one(photograph, cell, [patch.box for patch, _ in pairs], variation, rng))
    return cuttings


def cut_one(photograph: Image.Image, cell: tuple, taken: Sequence[tuple], variation: Variation,
            rng: random.Random) -> tuple:
    """A patch with enough contrast that shares little with the boxes taken, and its image."""
    for _ in range(ROUNDS):
        candidates = [draw_patch(cell, variation, rng) for _ in range(CANDIDATES)]
        for patch in sorted(candidates, key=lambda patch: sum(shared(patch.box, box) for box in taken)):
            image = cut(photograph, patch)
            if contrast(image) >= variation.contrast:
                return patch, image
    raise InputError(f"none of {ROUNDS * CANDIDATES} patches has a contrast of {variation.contrast} grey levels. Lower "
                     "variation.contrast.")


def draw_patch(cell: tuple, variation: Variation, rng: random.Random) -> Patch:
    """A random patch within a cell."""
    window, angle = rng.uniform(*variation.window), rng.uniform(-variation.rotation, variation.rotation)
    side = reach(window, angle)
    left, top = rng.randint(cell[0], cell[2] - side), rng.randint(cell[1], cell[3] - side)
    factors = tuple(1 + rng.uniform(-variation.jitter, variation.jitter) for _ in range(3))
    return Patch((left, top, left + side, top + side), window, angle, factors)


def reach(window: float, angle: float) -> int:
    """Side of the upright box around a square of side `window` turned by `angle` degrees, with a pixel to spare."""
    turn = math.radians(abs(angle))
    return math.ceil(window * (math.cos(turn) + math.sin(turn))) + 2


def shared(one: tuple, other: tuple) -> int:
    """Number of pixels that two boxes have in common."""
    width, height = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return max(width, 0) * max(height, 0)


def cut(photograph: Image.Image, patch: Patch) -> Image.Image:
    """The image of a patch; of the photograph nothing but `patch.box` is read."""
    turned = photograph.crop(patch.box).rotate(patch.angle, Image.BICUBIC)
    low, high = (turned.width - patch.window) / 2, (turned.width + patch.window) / 2
    image = turned.resize((SIDE, SIDE), Image.BICUBIC, box=(low, low, high, high))
    for enhance, factor in zip((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), patch.factors):
        image = enhance(image).enhance(factor)
    return image


def encode(image: Image.Image, quality: int = QUALITY) -> bytes:
    """The image as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def plant_copies(evaluation: Sequence[tuple], number: int, rng: random.Random) -> list:
    """Copies of evaluation images given as (path, bytes); none is copied twice before all are copied once."""
    copies = []
    for path, data in islice(cycle(rng.sample(evaluation, len(evaluation))), number):
        chosen = rng.sample([*EDITS, "compress"], rng.choice((0, 1, 1, 1, 1, 2, 2, 3)))
        edits = [name for name in (*EDITS, "compress") if name in chosen]
        copies.append(PoolEntry(edit(data, edits, rng) if edits else data, "copy", path, "+".join(edits) or "exact"))
    return copies


def edit(data: bytes, edits: Sequence[str], rng: random.Random) -> bytes:
    """An image file after the given edits; "compress" is a JPEG quality of 30 to 60."""
    image = Image.open(io.BytesIO(data))
    for name in edits:
        image = EDITS[name](image, rng) if name in EDITS else image
    return encode(image, rng.randint(30, 60) if "compress" in edits else QUALITY)


def crop(image: Image.Image, rng: random.Random) -> Image.Image:
    """A random 60 to 90 % of the area."""
    scale = math.sqrt(rng.uniform(0.6, 0.9))
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def caption(image: Image.Image, rng: random.Random) -> Image.Image:
    """A bar of text below."""
    captioned = ImageOps.expand(image, border=(0, 0, 0, 12), fill="white")
    text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(8))
    ImageDraw.Draw(captioned).text((2, image.height), text, fill="black", font=ImageFont.load_default())
    return captioned


EDITS = {
    "crop": crop, "mirror": lambda image, rng: ImageOps.mirror(image), "caption": caption,
    "relight": lambda image, rng: ImageEnhance.Brightness(image).enhance(rng.choice((0.6, 0.7, 0.8, 1.2, 1.3, 1.4))),
    "resize": lambda image, rng: ImageOps.contain(image, (rng.choice((48, 96, 128)),) * 2, Image.BICUBIC)}


def unreadable(corrupt: int, missing: int) -> list:
    """Files named like images that are none: the head of one, an empty one, text, and no file at all."""
    head = encode(Image.new("RGB", (SIDE, SIDE)))[:20]
    contents = cycle([("truncated", head), ("empty", b""), ("text", b"This is no image.\n")])
    files = [PoolEntry(data, "corrupt", edits=how) for how, data in islice(contents, corrupt)]
    return files + [PoolEntry(None, "missing")] * missing


def write_labelled(root: Path, list_file: str, cuttings: Sequence[tuple], labels: dict, names: Iterator[str]) -> list:
    """Write the images of (photograph, bytes) and their list; returns (path, bytes)."""
    written = [(next(names), data) for _, data in cuttings]
    with atomic_write(root / list_file) as file:
        for (path, data), (photograph, _) in zip(written, cuttings):
            (root / path).write_bytes(data)
            file.write(f"{path} {labels[photograph]}\n")
    return written


def write_pool(root: Path, pool: Sequence[PoolEntry], names: Iterator[str]) -> None:
    """Write the pool images, their list and what is true of each."""
    with atomic_write(root / "pool_list.txt") as pool_list, atomic_write(root / "truth.csv") as truth:
        rows = csv.writer(truth, lineterminator="\n")
        rows.writerow(("path", "kind", "source", "edits"))
        for entry, path in zip(pool, names):
            if entry.data is not None:
                (root / path).write_bytes(entry.data)
            pool_list.write(f"{path}\n")
            rows.writerow((path, *entry[1:]))
