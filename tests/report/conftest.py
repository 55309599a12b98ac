"""Folders as runs, curations and exports leave them, made by hand with names that try to break the page."""
from __future__ import annotations

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import yaml

from dedup import Options
from dedup.files import sha256_file
from dedup.match import COLUMNS, ERROR_COLUMNS, REASONS, Match, match_to_row, write_table
from dedup.sheet import write_png
from ssld.export.card import Card, write_card

HOSTILE = 'images/<script>alert("x")&\'.png'


def write_run(folder, top1=(0.4, 0.6), images=200, finished=True, seconds=30.0, evaluation="val.txt"):
    """A run of 20 steps with an evaluation at the end of each half."""
    folder.mkdir(parents=True)
    config = {"Global": {"output_dir": str(folder), "epochs": 2, "seed": 7},
              "DataLoader": {"Train": {"dataset": {"cls_label_path": "gone.txt"}, "sampler": {"batch_size": 8}},
                             "Eval": {"dataset": {"cls_label_path": evaluation}}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    events = [{"event": "start", "time": 100.0, "first_step": 0, "total_steps": 20, "steps_per_epoch": 10,
               "images": 80, "batch": 8}]
    for step, accuracy in zip((10, 20) if finished else (10,), top1):
        time = 100.0 + seconds * step / 20
        events.append({"event": "train", "time": time, "step": step, "loss": 2.0 - step / 20, "lr": 0.1})
        events.append({"event": "eval", "time": time, "step": step, "images": images, "top1": accuracy, "top5": 1.0})
    events += [{"event": "end", "time": 100.0 + seconds}] if finished else []
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def write_picture(file, seed):
    """A picture of coarse noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    write_png(file, coarse.repeat(8, 0).repeat(8, 1))


def write_comparison(folder, images, count, removed, close, failed=(), keep=(), options=Options(min_inliers=6)):
    """What `python -m dedup` leaves of `count` pool images, from the given matches and (path, message) of failures."""
    write_table(folder / "removed.tsv", COLUMNS, map(match_to_row, removed))
    write_table(folder / "close.tsv", COLUMNS, map(match_to_row, close))
    write_table(folder / "errors.tsv", ERROR_COLUMNS, [(path, "decode", "ImageError", why) for path, why in failed])
    by_reason = {reason: sum(match.reason == reason for match in removed) for reason in REASONS}
    place = {"list": "pool list.txt", "root": str(images), "sha256": "ab12", "lines": count, "repeated": 0}
    manifest = {"version": "9.9", "parameters": {**asdict(options), "max_error_fraction": 0.05},
                "candidates_from": ["sha256", "hash", "sift"], "pool": place,
                "evaluation": {**place, "list": "val.txt", "lines": 1, "errors": 0},
                "counts": {"in": count, "kept": count - len(removed) - len(failed), "removed": len(removed),
                           "errors": len(failed), "removed_by_reason": by_reason},
                "overrides": {"keep": sorted(keep), "remove": [m.query for m in removed if m.reason == "override"]},
                "duration": {"seconds": 2.0, "images_per_s": count / 2, "workers": 1, "hosts": 1}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_compared(folder):
    """A finished comparison in folder/clean: three removals of different certainty, a close pair, two decisions by hand."""
    images = folder / "pictures"
    names = ["images/a.png", HOSTILE, "images/日本 & ü.png", "images/hand.png", "images/close.png", "images/kept.png"]
    for seed, name in enumerate([*names, "images/val.png"]):
        write_picture(images / name, seed)
    first = Match(names[0], "images/val.png", "sift", 30, 0.9, None, 0.95, np.eye(2, 3), False)
    removed = [first, first._replace(query=HOSTILE, inliers=6, agreement=0.6),
               first._replace(query=names[2], reason="hash", inliers=8, hash_distance=3, cosine=None),
               Match(names[3], "", "override", 0, 0.0, None, None, None, False)]
    close = first._replace(query=names[4], inliers=5, agreement=0.5)
    return write_comparison(folder / "clean", images, 8, removed, [close], [("gone.png", "no such file")], [names[5]])


def write_expansion(folder, images, names=("b.png", HOSTILE)):
    """Three pool images selected for two classes, two not, a copy, a close pair, an unreadable file; one repeated."""
    pool = ["images/a.png", f"images/{names[0]}", names[1], "images/d.png", "images/e.png", "images/copy.png"]
    for seed, name in enumerate([*pool, "images/val.png"]):
        write_picture(images / name, seed)
    fates = [(pool[0], "selected", ""), (pool[1], "selected", ""), (pool[2], "selected", ""),
             (pool[3], "not selected", ""),
             (pool[4], "not selected", ""), (pool[5], "duplicate", "sift of images/val.png"),
             ("images/broken<b>.png", "unreadable", "ImageError: the file is empty")]
    write_table(folder / "fates.tsv", ("path", "fate", "detail"), fates)
    write_table(folder / "selection.tsv", ("path", "class", "probability", "rank"),
                [(pool[0], "0", "0.9", "0"), (pool[1], "0", "0.7", "1"), (pool[2], "1", "0.8", "0")])
    copy = Match(pool[5], "images/val.png", "sift", 9, 0.8, None, None, np.eye(2, 3), False)
    close = copy._replace(query=pool[3], inliers=4, agreement=0.5)
    write_comparison(folder / "duplicates", images, 7, [copy], [close], [("images/broken<b>.png", "the file is empty")])
    report = {"pool": {"lines": 8, "repeated": 1, "selected": 3, "not selected": 2, "duplicate": 1, "labelled": 0,
                       "unreadable": 1},
              "duplicates_by_reason": {"sift": 1},
              "classes": {"labelled": [5, 6], "available": [3, 2], "selected": [2, 1], "without_any": [], "gave_all": []},
              "overlap": [[0, 1, 3]],
              "score_histogram": {"edges": [0.0, 0.5, 1.0], "scored": [2, 3], "selected": [0, 3]},
              "files": {"pool": "pool.txt"}, "train_list": {"images": 14, "selected": 3},
              "image_root": {name: str(images) for name in ("pool", "evaluation", "labelled", "train")}}
    (folder / "report.json").write_text(json.dumps(report))
    origin = {"config": {"Select": {"name": "top_k", "k": 2}}, "config_file": "expand.yaml", "inputs": {"pool": "ab12"}}
    (folder / "train_list.origin.json").write_text(json.dumps(origin))
    return folder


def write_student(folder):
    """An exported student of made-up weights."""
    folder.mkdir(parents=True)
    for name in ("student.pdparams", "inference.json"):
        (folder / name).write_bytes(b"12345")
    (folder / "transfer.yaml").write_text("# stem\nArch: {student: {name: X, lr_mult_list: [0.1, 0.25]}}\n")
    sums = {name: sha256_file(folder / name) for name in ("student.pdparams", "inference.json", "transfer.yaml")}
    write_card(folder, Card("9.9", "SmallResNet", {"name": "SmallResNet", "class_num": 2}, 2, 12, 4321, {"weights": "run/best"},
                            sums, input=[3, 16, 16], images_compared=100, difference={"inference": 1e-7},
                            same_top1={"inference": 1.0}, accuracy={"inference": {"accuracy": {"top1": 0.625}, "images": 200}}))
    return folder


@pytest.fixture(scope="session")
def make_run():
    """`make_run(folder, top1=(0.4, 0.6), images=200, finished=True, ...)`."""
    return write_run


@pytest.fixture
def compared(tmp_path):
    """The folder that `write_compared` makes."""
    return write_compared(tmp_path)


@pytest.fixture(scope="session")
def make_compared():
    """`make_compared(folder)`: what `compared` is, anywhere."""
    return write_compared


@pytest.fixture
def curated(tmp_path):
    """The folder of a finished expansion."""
    return write_expansion(tmp_path / "expansion", tmp_path / "pictures")


@pytest.fixture
def truth_file(tmp_path):
    """What is true of the pool of `curated`."""
    rows = [("images/a.png", "clean", "cat", ""), ("images/b.png", "foreign", "moon", ""),
            (HOSTILE, "clean", "cat", ""),
            ("images/d.png", "copy", "images/val.png", "crop+mirror"), ("images/e.png", "clean", "dog", ""),
            ("images/copy.png", "copy", "images/val.png", "crop"), ("images/broken<b>.png", "corrupt", "", "empty")]
    with open(tmp_path / "truth.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "kind", "source", "edits"), *rows])
    return tmp_path / "truth.csv"


@pytest.fixture
def exported(tmp_path):
    """The folder of an exported student."""
    return write_student(tmp_path / "exported")


@pytest.fixture
def ladder_file(tmp_path, curated, truth_file, exported):
    """A config that shows everything."""
    write_run(tmp_path / "teacher", (0.5, 0.8))
    write_run(tmp_path / "first", (0.4, 0.55), seconds=75)
    write_run(tmp_path / "second", (0.7, 0.675))
    (tmp_path / "classes.txt").write_text("cat\n<i>dog</i>\n")
    rungs = [{"name": "teacher", "run": str(tmp_path / "teacher"), "reference": True},
             {"name": "first <rung>", "run": str(tmp_path / "first"), "note": "labels & nothing else"},
             {"name": "second", "run": str(tmp_path / "second")}]
    report = {"title": "A <title>", "rungs": rungs, "expansion": str(curated), "random_expansion": str(curated),
              "classes": str(tmp_path / "classes.txt"), "truth": str(truth_file), "export": str(exported)}
    (tmp_path / "ladder.yaml").write_text(yaml.safe_dump({"Report": report}))
    return tmp_path / "ladder.yaml"
