"""Every row of the pool has one fate, and the counts add up."""
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ssld.build_expansion import run_expansion
from ssld.config import Config
from ssld.curation import score as score_module
from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.models.weights import load_weights, save_weights
from ssld.models.zoo import build_network
from ssld.teachers.onednn import export_program

OPS = ["DecodeImage", {"ResizeImage": {"size": 32}}, "NormalizeImage", "ToCHWImage"]


def picture(seed, size=96):
    """Smooth random blobs: enough texture for key points."""
    noise = np.random.default_rng(seed).random((size // 4, size // 4, 3)).astype(np.float32)
    return (cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Ten evaluation pictures, four labelled ones, and a pool with copies of both, others, and broken files."""
    folder = tmp_path_factory.mktemp("task")
    for name, count in (("val", 10), ("train", 4), ("pool", 20)):
        lines = []
        for i in range(count):
            cv2.imwrite(str(folder / f"{name}{i}.png"), picture([len(name), i, count]))
            lines.append(f"{name}{i}.png" + ("" if name == "pool" else f" {i % 3}"))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    copies = {"resized.jpg": cv2.resize(picture([3, 0, 10]), (80, 80)), "mirrored.png": picture([3, 1, 10])[:, ::-1]}
    for name, pixels in copies.items():
        cv2.imwrite(str(folder / name), pixels)
    (folder / "same_bytes.png").write_bytes((folder / "val2.png").read_bytes())
    (folder / "labelled_already.png").write_bytes((folder / "train1.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no picture")
    extra = [*copies, "same_bytes.png", "labelled_already.png", "broken.jpg", "missing.jpg", "pool3.png"]
    (folder / "pool.txt").write_text((folder / "pool.txt").read_text() + "\n".join(extra) + "\n")
    save_weights(build_network("SmallResNet", 3, width=4), folder / "teacher.pdparams")
    return folder


def config(task, out, **select):
    lists = {"pool": "pool.txt", "evaluation": "val.txt", "labelled": "train.txt"}
    return Config({"Global": {"output_dir": str(out), "device": "cpu"},
                   "Arch": {"teacher": {"name": "SmallResNet", "class_num": 3, "width": 4,
                                        "pretrained": str(task / "teacher.pdparams")}},
                   "Lists": {name: {"cls_label_path": str(task / file)} for name, file in lists.items()},
                   "Remove": {"max_error_fraction": 0.5}, "Score": {"transform_ops": OPS},
                   "Select": {"name": "top_k", "k": 3, **select}})


@pytest.fixture(scope="module")
def expansion(task, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return run_expansion(config(task, out)), out


def test_scores_in_bfloat16_are_refused_before_anything_is_computed(task, tmp_path):
    wanted = config(task, tmp_path / "out")
    wanted.data["Arch"]["teacher"]["engine"] = "onednn_bf16"
    with pytest.raises(InputError, match="Arch.teacher: scores are computed in float32; onednn_bf16 is for a teacher in"):
        run_expansion(wanted)
    assert not (tmp_path / "out").exists()


def test_the_counts_of_the_report_add_up(expansion):
    pool = expansion[0].report["pool"]
    assert pool["lines"] == 27 == sum(n for name, n in pool.items() if name != "lines")
    assert (pool["duplicate"], pool["labelled"], pool["unreadable"], pool["repeated"]) == (3, 1, 2, 1)


def test_every_path_has_its_fate(expansion):
    _, out = expansion
    rows = [line.split("\t") for line in (out / "fates.tsv").read_text().splitlines()[1:]]
    fates = {path: (fate, detail) for path, fate, detail in rows}
    assert len(rows) == len(fates) == 26
    assert fates["same_bytes.png"] == ("duplicate", "sha256 of val2.png")
    assert fates["mirrored.png"][0] == fates["resized.jpg"][0] == "duplicate"
    assert fates["mirrored.png"][1].endswith("val1.png")
    assert fates["labelled_already.png"] == ("labelled", "the same file as train1.png")
    assert {fates[p][0] for p in ("broken.jpg", "missing.jpg")} == {"unreadable"}


def test_the_training_list_holds_the_labelled_rows_and_the_selection(expansion, task):
    result, out = expansion
    train = Manifest.read(out / "train_list.txt", task)
    assert [f"{path} {label}" for path, label in zip(train.path[:4], train.label)] == (
        task / "train.txt").read_text().splitlines()
    selected = [line.split("\t") for line in (out / "selection.tsv").read_text().splitlines()[1:]]
    assert list(train.path[4:]) == list(Manifest.read(out / "selected.txt").path)
    assert sorted(train.path[4:]) == sorted(path for path, *_ in selected)
    assert np.bincount(train.label[4:], minlength=3).max() <= 3
    assert json.loads((out / "report.json").read_text()) == result.report
    assert set(train.origin["inputs"]) == {"pool", "evaluation", "labelled"}


def test_a_second_selection_uses_the_same_scores_in_its_own_subfolder(expansion, task):
    _, out = expansion
    before = (out / "train_list.txt").read_bytes()
    settings = config(task, out)
    settings.data["Select"] = {"name": "random", "count": 5, "output": "random"}
    run_expansion(settings)
    assert (out / "train_list.txt").read_bytes() == before
    assert len(Manifest.read(out / "random" / "train_list.txt")) == 4 + 5


@pytest.mark.parametrize("select, message", [({"kk": 3}, "Did you mean 'k'"), ({"name": "topk"}, "Did you mean 'top_k'")])
def test_a_misspelt_option_is_refused_before_the_work_begins(task, tmp_path, select, message):
    with pytest.raises(InputError, match=message):
        run_expansion(config(task, tmp_path, **select))
    assert not (tmp_path / "duplicates").exists()


def test_an_option_of_the_removal_out_of_range_is_named_with_its_place(task, tmp_path):
    settings = config(task, tmp_path)
    settings.data["Remove"]["min_agreement"] = 2
    with pytest.raises(InputError, match="Remove: .*min_agreement"):
        run_expansion(settings)


def test_decisions_of_a_person_change_the_list_without_scoring_the_rest_again(task, tmp_path, monkeypatch):
    settings = config(task, tmp_path)
    run_expansion(settings)
    (tmp_path / "overrides.tsv").write_text("decision\tpath\nkeep\tresized.jpg\nremove\tpool4.png\n")
    scored, score_images = [], score_module.score_images
    monkeypatch.setattr(score_module, "score_images",
                        lambda images, *rest: scored.extend(images.path) or score_images(images, *rest))
    report = run_expansion(settings, tmp_path / "overrides.tsv").report
    fates = dict(line.split("\t")[:2] for line in (tmp_path / "fates.tsv").read_text().splitlines()[1:])
    assert scored == ["resized.jpg"] and fates["resized.jpg"] in ("selected", "not selected")
    assert fates["pool4.png"] == "removed by hand" and report["pool"]["removed by hand"] == 1
    assert report["pool"]["lines"] == sum(n for name, n in report["pool"].items() if name != "lines")


def test_a_dry_run_accounts_for_everything_and_writes_no_list(task, tmp_path):
    expansion = run_expansion(config(task, tmp_path), dry_run=True)
    assert expansion.file is None and expansion.report["dry_run"]
    assert (tmp_path / "fates.tsv").exists() and not (tmp_path / "train_list.txt").exists()


def test_features_of_the_teacher_are_shared_with_the_removal(expansion, task, tmp_path):
    settings = config(task, tmp_path)
    settings.data["Remove"].update(features=True, t_cand=0.5)
    settings.data["Score"]["max_bad_fraction"] = 0.5
    run_expansion(settings)
    manifest = json.loads((tmp_path / "duplicates" / "manifest.json").read_text())
    assert manifest["candidates_from"] == ["sha256", "hash", "sift", "feature"]
    assert np.load(tmp_path / "scores" / "feature.npy").shape == (27, 16)
    removed = [line.split("\t")[0] for line in (tmp_path / "duplicates" / "removed.tsv").read_text().splitlines()[1:]]
    assert set(removed) >= {"resized.jpg", "mirrored.png", "same_bytes.png"}


def test_duplicates_inside_the_pool_have_their_own_fate(task, tmp_path):
    listed = (task / "pool.txt").read_text()
    (task / "twin.png").write_bytes((task / "pool5.png").read_bytes())
    (tmp_path / "pool.txt").write_text(listed + "twin.png\n")
    settings = config(task, tmp_path / "out")
    settings.data["Lists"]["pool"] = {"cls_label_path": str(tmp_path / "pool.txt"), "image_root": str(task)}
    settings.data["Remove"]["within_pool"] = {"sources": ["hash"]}
    assert run_expansion(settings).report["pool"]["pool-duplicate"] == 1
    fates = (tmp_path / "out" / "fates.tsv").read_text().splitlines()
    assert "twin.png\tpool-duplicate\tpool-duplicate of pool5.png" in fates


def test_an_exported_model_scores_like_its_network(expansion, task, tmp_path):
    network = build_network("SmallResNet", 3, width=4)
    load_weights(network, task / "teacher.pdparams")
    network.eval()
    export_program(network, tmp_path / "teacher", (32, 32))
    settings = config(task, tmp_path / "out")
    settings.data["Arch"]["teacher"] = {"program": str(tmp_path / "teacher"), "class_num": 3}
    run_expansion(settings)
    assert (tmp_path / "out" / "train_list.txt").read_bytes() == (expansion[1] / "train_list.txt").read_bytes()


@pytest.mark.slow
def test_ray_writes_the_same_files_as_this_process(expansion, task, tmp_path):
    pytest.importorskip("ray", reason="ray is an extra")
    settings = config(task, tmp_path / "ray")
    settings.data["Engine"] = {"engine": "ray", "workers": 2}
    settings.data["Score"]["shard_size"] = 6
    run_expansion(settings)
    for name in ("train_list.txt", "selection.tsv", "fates.tsv", "selected.txt"):
        assert (tmp_path / "ray" / name).read_bytes() == (expansion[1] / name).read_bytes(), name


def test_downloaded_weights_can_score(task, tmp_path, monkeypatch):
    monkeypatch.setattr("ssld.build_networks.published_weights", lambda name, use_ssld: task / "teacher.pdparams")
    settings = config(task, tmp_path)
    settings.data["Arch"]["teacher"]["pretrained"] = True
    assert run_expansion(settings).report["pool"]["lines"] == 27


@pytest.mark.dist
def test_two_processes_write_the_same_files_as_one(expansion, task, tmp_path):
    settings = config(task, tmp_path / "two")
    settings.data["Score"]["shard_size"] = 4
    settings.write(tmp_path / "expand.yaml")
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                          str(tmp_path / "log"), str(root / "tools" / "expand_dataset.py"), "-c",
                          str(tmp_path / "expand.yaml")],
                         capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("train_list.txt", "selection.tsv", "fates.tsv", "selected.txt"):
        assert (tmp_path / "two" / name).read_bytes() == (expansion[1] / name).read_bytes(), name


def test_the_report_counts_which_classes_the_teacher_confuses(task, tmp_path):
    settings = config(task, tmp_path)
    settings.data["Score"]["top"] = 2
    report = run_expansion(settings).report
    classes = np.load(tmp_path / "scores" / "teacher_class.npy")
    pairs = {(best, second): images for best, second, images in report["overlap"]}
    told = [tuple(row) for row in classes.tolist() if row[0] >= 0]
    assert pairs == {pair: told.count(pair) for pair in set(told)} and len(told) == 20
