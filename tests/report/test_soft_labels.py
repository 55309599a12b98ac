from __future__ import annotations

import base64
import json
import pickle
import re
import zipfile

import cv2
import numpy as np
import pytest

from dedup.sheet import write_png
from ssld import cli
from ssld.data.manifest import Manifest
from ssld.report.soft_labels import charts, write_page
from ssld.softlabels import inspect
from ssld.softlabels.codec import Codec
from ssld.softlabels.crops import Crops
from ssld.softlabels.store import Store
from ssld.softlabels.writer import StoreWriter

HOSTILE = 'train/<script>alert("x")&\'.png'
NAMES = ["train/a.png", HOSTILE, "train/gone.png"]
WIDTH, HEIGHT, CLASSES, CROPS = 60, 40, 12, 8
BOXES = np.array([[0, 0, 20, 30], [20, 30, 20, 30], [20, 0, 20, 30], [0, 30, 20, 30], [0, 0, 40, 60], [5, 5, 10, 10],
                  [10, 0, 10, 60], [0, 40, 40, 20]])
QUARTERS = np.array([[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [230, 230, 20]]], np.uint8)


def write_images(folder):
    """Four plain quarters: red and green above, blue and yellow below."""
    for name in NAMES[:2]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / name, QUARTERS.repeat(HEIGHT // 2, 0).repeat(WIDTH // 2, 1))
    return folder


def probabilities():
    logits = np.random.default_rng(1).normal(0, 2, (len(NAMES), CROPS, CLASSES))
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def write_store(folder, kind="marginal_smoothing", k=3, labels=(0, 5, -1), **meta) -> Store:
    codec = Codec(kind, k, CLASSES)
    writer = StoreWriter(folder, meta, Manifest(folder, NAMES, labels), codec, CROPS)
    [shard] = writer.shards()
    crops = Crops(BOXES, np.arange(CROPS) % 2 == 1)
    records = np.stack([codec.encode(some, crops) for some in probabilities()])
    shard.append(records, np.full(3, WIDTH), np.full(3, HEIGHT), np.ones(3, bool))
    shard.close()
    writer.finish()
    return Store(folder)


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store")


def page(store, tmp_path, root=None, **options):
    return write_page(store, inspect.survey(store), tmp_path / "page", root, **options).read_text(encoding="utf-8")


def sheets(html):
    return html.split('<section class="visit">')[1:]


def pictures(html):
    """Words -> pixels of every picture of a part of a page."""
    found = re.findall(r'<img alt="([^"]*)"[^>]*base64,([^"]+)"', html)
    coded = {words: np.frombuffer(base64.b64decode(data), np.uint8) for words, data in found}
    return {words: cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1] for words, data in coded.items()}


def quarter(top, left):
    return QUARTERS[top * 2 // HEIGHT, left * 2 // WIDTH].astype(int)


def test_crops_are_shown_as_training_cuts_them(store, tmp_path):
    sheet = sheets(page(store, tmp_path, write_images(tmp_path / "images")))[0]
    order = np.argsort(inspect.facts_of(store, 0).entropy)[np.round(np.linspace(0, CROPS - 1, 6)).astype(int)]
    shown = pictures(sheet)
    assert len(shown) == 7 and shown["train/a.png"].shape == (HEIGHT, WIDTH, 3)
    for number, crop in enumerate(order.tolist(), 1):
        top, left, height, width = BOXES[crop].tolist()
        mirrored = crop % 2 == 1
        corner = shown[f"crop {number} of train/a.png"][8, 8].astype(int)
        assert np.abs(corner - quarter(top, left + width - 1 if mirrored else left)).max() < 25
        assert (f"{width} x {height}, mirrored</span>" in sheet) or not mirrored


def test_boxes_are_drawn_where_the_crops_lie(store, tmp_path):
    sheet = sheets(page(store, tmp_path, write_images(tmp_path / "images")))[0]
    drawn = re.findall(r'<rect class="tint c\d" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', sheet)
    boxes = {(y, x, height, width) for x, y, width, height in (map(int, box) for box in drawn)}
    assert len(boxes) == 6 and boxes < set(map(tuple, BOXES.tolist())) and 'viewBox="0 0 60 40"' in sheet


def test_below_a_crop_stand_its_classes_and_what_is_left(store, tmp_path):
    sheet = sheets(page(store, tmp_path, names=["<b>cat</b>", *"bcdefghijkl"]))[0]
    first = int(inspect.facts_of(store, 0).entropy.argmin())
    some = np.sort(probabilities()[0, first])[::-1]
    lines = re.findall(r'<span>([^<]*)</span><span>([\d.]+)</span>', sheet.split("</figure>")[0])
    assert [float(p) for _, p in lines] == pytest.approx([*some[:3], 1 - some[:3].sum()], abs=2e-4)
    assert lines[-1][0] == "9 others" and "&lt;b&gt;cat" in sheet and "<b>cat" not in sheet


def test_the_images_label_stands_out_among_the_classes(store, tmp_path):
    label = inspect.likeliest(store.codec, store.records(0), 1)[0][0, 0]
    sheet = sheets(page(write_store(tmp_path / "other", labels=(label, 5, -1)), tmp_path))[0]
    assert f'<li class="true" title="class {label}">' in sheet and f"labelled class {label}" in sheet


def test_names_are_shown_as_text_and_nothing_is_fetched(store, tmp_path):
    html = page(store, tmp_path, write_images(tmp_path / "images"))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html) and "@import" not in html and "url(" not in html


def test_a_page_without_pictures_says_why_and_still_shows_labels(store, tmp_path):
    html = page(store, tmp_path)
    assert "the store does not say where its images lie" in html and "--image-root" in html and "<img" not in html
    assert len(sheets(html)) == 3 and "9 others" in html
    assert "there is none of the images below" in page(store, tmp_path, tmp_path / "elsewhere")


def test_a_picture_that_is_gone_or_has_another_size_is_left_out_alone(store, tmp_path):
    root = write_images(tmp_path / "images")
    write_png(root / HOSTILE, np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
    first, second, third = sheets(page(store, tmp_path, root))
    assert len(pictures(first)) == 7 and not pictures(second) and not pictures(third)
    assert "it has 61 x 40 pixels now, not 60 x 40" in second and 'class="lost"' in second


@pytest.mark.parametrize("kind, k, shown", [
    ("hard", None, ["Area", "Width"]), ("smoothing", None, ["Entropy", "Highest", "Area", "Width"]),
    ("marginal_renorm", 3, ["Entropy", "Highest", "Kept", "Area", "Width"]),
    ("full", None, ["Entropy", "Highest", "Area", "Width"])])
def test_every_kind_has_a_page_with_the_charts_that_tell_something(tmp_path, kind, k, shown):
    store = write_store(tmp_path / "store", kind, k)
    assert [title.split()[0] for title in charts(store, inspect.survey(store))] == shown
    assert len(sheets(page(store, tmp_path))) == 3


def test_the_bars_of_a_chart_count_every_crop_once(store):
    found = inspect.survey(store)
    for chart in charts(store, found).values():
        for kind, total in (("crops", len(found.right)), ("of them, top class is the image’s label", found.right.sum())):
            assert sum(map(int, re.findall(rf"<title>{kind}, [^<]*: (\d+)</title>", chart.body))) == total


def test_charts_of_unlabelled_images_have_one_series(tmp_path):
    store = write_store(tmp_path / "store", labels=(-1, -1, -1))
    assert all(len(chart.legend) == 1 for chart in charts(store, inspect.survey(store)).values())


def test_fewer_images_are_shown_than_counted(store, tmp_path):
    html = page(store, tmp_path, images=1)
    assert len(sheets(html)) == 1 and "24 crops of 3 images" in html


def test_the_figures_lie_beside_the_page(store, tmp_path):
    page(store, tmp_path)
    told = json.loads((tmp_path / "page/figures.json").read_text())
    assert told["images"] == 3 and told["crops"] == 24 and told["labelled_crops"] == 16
    assert told["figures"]["kept mass"]["mean"] == pytest.approx(inspect.survey(store).facts.mass.mean())


# ---- the commands

def test_the_command_prints_a_table_and_writes_the_page(tmp_path, capsys):
    root = write_images(tmp_path / "images")
    write_store(tmp_path / "store", image_root=str(root), teachers=[{"name": "R50"}])
    assert cli.main(["soft-labels", "inspect", str(tmp_path / "store"), "--out", str(tmp_path / "page"), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "1 shards are as they were written" in printed and "R50" in printed and "kept mass" in printed
    assert len(pictures((tmp_path / "page/index.html").read_text())) == 2 * 7


def test_the_command_refuses_an_altered_store(tmp_path, capsys):
    write_store(tmp_path / "store")
    shard = tmp_path / "store/shard-00000.bin"
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(bytes(content))
    assert cli.main(["soft-labels", "inspect", str(tmp_path / "store"), "--verify"]) == 2
    assert "shard-00000.bin was altered" in capsys.readouterr().err
    assert cli.main(["soft-labels", "inspect", str(tmp_path / "nothing")]) == 2


def test_the_command_imports_what_can_then_be_inspected(tmp_path, capsys):
    root = write_images(tmp_path / "images")
    (tmp_path / "list.txt").write_text("train/a.png 3\ntrain/a.png 3\n")        # a repeated line counts once
    coords = (BOXES / [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(np.float32)
    label = np.stack([np.arange(3), [0.5, 0.25, 0.125]])[None].repeat(CROPS, 0).astype(np.float32)
    (tmp_path / "labels/train").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "labels/train/a.tar", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps([coords, np.zeros(CROPS, bool), label], 2))
    command = ["soft-labels", "import", str(tmp_path / "labels"), "--list", str(tmp_path / "list.txt"),
               "--image-root", str(root), "--class-num", str(CLASSES), "--out", str(tmp_path / "store"),
               "--kind", "marginal_renorm"]
    assert cli.main(command) == 0
    assert "1 images x 8 crops, kind marginal_renorm, K = 3" in capsys.readouterr().out
    store = Store(tmp_path / "store")
    assert np.array_equal(store.codec.crops(store.records(0)).box, BOXES)
    assert store.codec.dense(store.records(0))[0, :3] == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=5e-5)
    assert cli.main(["soft-labels", "inspect", str(tmp_path / "store"), "--out", str(tmp_path / "page")]) == 0
    assert pictures((tmp_path / "page/index.html").read_text())
