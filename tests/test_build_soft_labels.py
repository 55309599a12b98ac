"""From a config of a distillation with a section SoftLabels to a store."""
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from ssld.build_soft_labels import run_generation
from ssld.cli import main
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.softlabels.store import Store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def settings(tmp_path, tiny):
    """A distillation on 24 pictures, and labels of 5 crops of each."""
    for seed, width in ((0, 4), (1, 8)):
        paddle.seed(seed)
        network = build_network("SmallResNet", 4, width=width)
        network.fc.weight.set_value(network.fc.weight * 3)
        save_weights(network, tmp_path / f"teacher{width}.pdparams")
    tiny["Arch"]["teacher"] = teacher(tmp_path, 4)
    tiny["SoftLabels"] = {"output": str(tmp_path / "store"), "crops": 5, "batch_size": 10, "shard_images": 7, "k": 2,
                          "num_workers": 0}
    return tiny


def teacher(folder, width, **view):
    return {"name": "SmallResNet", "class_num": 4, "width": width, "pretrained": str(folder / f"teacher{width}.pdparams"),
            "engine": "eager", "size": 16, **view}


def generate(settings, output=None, **changes) -> Store:
    """The store of `settings` with other values in SoftLabels."""
    settings = deepcopy(settings)
    settings["SoftLabels"].update(changes, **({"output": str(output)} if output else {}))
    return run_generation(Config(settings, "run.yaml"))


def shards(store: Store) -> list[str]:
    return [entry["sha256"] for entry in store.meta["shards"]]


def test_a_store_says_how_it_came_about(settings, tmp_path):
    store = generate(settings)
    assert (store.crops, len(store.images.path), store.codec.kind, store.codec.k) == (5, 24, "marginal_smoothing", 2)
    assert (store.images.label == np.arange(24) % 4).all() and store.images.readable.all()
    said, meta = store.meta["teachers"][0], store.meta
    assert (said["name"], said["engine"], said["size"], said["interpolation"]) == ("SmallResNet", "eager", 16, "bicubic")
    assert said["path"].endswith("teacher4.pdparams") and len(said["sha256"]) == 64
    assert (meta["input_size"], meta["temperature"], meta["seed"], meta["scale"]) == (16, 1.0, 3, [0.08, 1.0])
    assert meta["orientation"] == "ignored" and meta["paddle"] == paddle.__version__ and meta["ssld"]
    assert meta["list"]["file"].endswith("train.txt") and len(meta["list"]["sha256"]) == 64
    assert Config.load(tmp_path / "store" / "config.yaml").data == settings


def test_the_store_goes_where_training_reads_it_or_where_the_config_writes(settings, tmp_path):
    settings["SoftLabels"].pop("output")
    assert generate(settings).folder == tmp_path / "run" / "soft_labels"
    settings["Arch"]["teacher"].update(source="stored", path=str(tmp_path / "labels"), crops_per_image=4)
    assert generate(settings).folder == tmp_path / "labels"
    settings["Arch"]["teacher"].pop("path")
    settings["Global"].pop("output_dir")
    with pytest.raises(InputError, match="run.yaml: SoftLabels needs the option 'output'"):
        generate(settings)


def test_a_config_needs_no_more_than_a_teacher_a_list_and_a_folder(settings, tmp_path):
    train = settings["DataLoader"]["Train"]["dataset"]
    least = {"Global": {"device": "cpu", "seed": 3}, "Arch": {"teacher": settings["Arch"]["teacher"]},
             "DataLoader": {"Train": {"dataset": {key: train[key] for key in ("image_root", "cls_label_path")}}},
             "SoftLabels": {**settings["SoftLabels"], "output": str(tmp_path / "least")}}
    assert shards(generate(least)) == shards(generate(settings))


def test_images_without_labels_are_labelled_as_well(settings, tmp_path, make_list):
    expected = shards(generate(settings))
    listed = tmp_path / "unlabelled.txt"
    listed.write_text("".join(f"{line.split()[0]}\n" for line in (tmp_path / "train.txt").read_text().splitlines()))
    settings["DataLoader"]["Train"]["dataset"]["cls_label_path"] = str(listed)
    store = generate(settings, tmp_path / "other")
    assert (store.images.label == -1).all() and shards(store) == expected


def test_an_image_that_is_listed_twice_is_labelled_once(settings, tmp_path, capsys):
    listed = tmp_path / "train.txt"
    listed.write_text(listed.read_text() + "train/3.jpg 3\ntrain/5.jpg 1\n")
    assert len(generate(settings).images.path) == 24
    assert "2 of 26 lines repeat an image; it is labelled once" in capsys.readouterr().out


def test_a_dry_run_measures_and_checks_and_writes_nothing(settings, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["soft-labels", "-c", str(tmp_path / "run.yaml"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "24 images x 5 crops x 16 bytes = 1,920 bytes (0.0 GB) in" in said
    assert "120 crops through 1 teacher, in 14 forward passes of 10" in said        # files of 7, 7, 7 and 3 images, two by two
    assert "self-check: 15 crops of 3 images" in said and "teacher SmallResNet (eager): top1" in said
    assert "dry run: nothing was written" in said
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "run.yaml"])


def test_the_command_ends_with_what_it_wrote_and_is_quick_the_second_time(settings, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    for turn in range(2):
        assert main(["soft-labels", "-c", str(tmp_path / "run.yaml"), "-o", "SoftLabels.num_workers=1"]) == 0
        said = capsys.readouterr().out
        assert f"wrote {tmp_path / 'store'}: 5 crops of 24 images, " in said.splitlines()[-1]
        assert ("measured before" in said) == bool(turn) and ("self-check" in said) != bool(turn)


def test_without_a_config_the_command_says_what_it_needs(capsys):
    assert main(["soft-labels"]) == 2
    assert "expected -c FILE" in capsys.readouterr().err


def test_several_teachers_with_views_of_their_own_are_averaged(settings, tmp_path):
    several = deepcopy(settings)
    several["Arch"].pop("teacher")
    several["Arch"]["teachers"] = [teacher(tmp_path, 4), teacher(tmp_path, 8, size=24, mean=[0.5] * 3, std=[0.5] * 3)]
    both = generate(several, tmp_path / "both", kind="full", k=None)
    assert [said["size"] for said in both.meta["teachers"]] == [16, 24] and both.meta["input_size"] is None
    alone = []
    for place in range(2):
        settings["Arch"]["teacher"] = several["Arch"]["teachers"][place]
        alone.append(generate(settings, tmp_path / f"{place}", kind="full", k=None))
    for row in range(24):
        labels = [store.codec.dense(store.records(row)) for store in (both, *alone)]
        np.testing.assert_allclose(labels[0], (labels[1] + labels[2]) / 2, rtol=5e-3, atol=1e-5)
    assert (tmp_path / "both" / "teacher-1" / "teacher.json").exists()


def test_a_second_teacher_takes_over_the_crops_of_a_store(settings, tmp_path):
    first = generate(settings)
    settings["Arch"]["teacher"], settings["Global"]["seed"] = teacher(tmp_path, 8), 99
    second = generate(settings, tmp_path / "second", boxes_of=str(tmp_path / "store"), crops=4)
    for row in range(24):
        np.testing.assert_array_equal(second.records(row)["box"], first.records(row)["box"][:4])
    assert second.seed == 3 and shards(second) != shards(first)
    with pytest.raises(InputError, match="run.yaml: SoftLabels.boxes_of: .* has 5 crops of each image, fewer than the 6 wa"):
        generate(settings, tmp_path / "third", boxes_of=str(tmp_path / "store"), crops=6)
    with pytest.raises(InputError, match="run.yaml: SoftLabels.boxes_of: .*is no store of soft labels"):
        generate(settings, tmp_path / "third", boxes_of=str(tmp_path / "train"))


def change(path, value):
    """A function that sets one value of settings, by its dotted path."""
    def apply(settings):
        *place, last = path.split(".")
        for key in place:
            settings = settings[key]
        settings[last] = value
    return apply


@pytest.mark.parametrize("changes, message", [
    (change("SoftLabels.crop", 4), "SoftLabels has no option 'crop'. Did you mean 'crops'"),
    (change("SoftLabels.crops", 0), "SoftLabels: crops must be a whole number of at least 1"),
    (change("SoftLabels.kind", "marginal"), "SoftLabels: kind cannot be 'marginal'"),
    (change("SoftLabels.k", 5), "SoftLabels: K = 5 classes cannot be kept of 4"),
    (change("SoftLabels.scale", [0.5, 1.2]), "SoftLabels: scale must be .low, high. with 0 < low <= high <= 1"),
    (change("SoftLabels.ratio", [2, 1]), "SoftLabels: ratio must be"),
    (change("SoftLabels.temperature", 0), "SoftLabels: temperature must be a number above 0"),
    (change("SoftLabel", {}), "there is no section 'SoftLabel'. Did you mean 'SoftLabels'"),
    (change("Arch.teachr", {}), "Arch has no option 'teachr'"),
    (change("Arch.teachers", []), "Arch.teachers must be a list"),
    (change("Arch.teacher", {"source": "stored", "path": "x"}), "Arch.teacher must be a network"),
    (change("Arch.teacher.sise", 16), "sise"),
    (change("Arch.teacher.size", -1), "Arch.teacher: size must be a whole number"),
    (change("Arch.teacher.interpolation", "cubic"), "Arch.teacher: interpolation cannot be 'cubic'"),
    (change("Arch.teacher.engine", "onednn_bf16"), "Arch.teacher: soft labels are computed in float32"),
    (change("Arch.teacher.batch_norm", "batch"), "Arch.teacher: batch_norm 'batch' would make a label depend on"),
    (change("Arch.teacher.pretrained", None), "Arch.teacher needs 'pretrained'"),
    (change("Arch.teacher.min_top1", 1.0), "Arch.teacher: the teacher reaches top-1 .* less than min_top1 1.0"),
    (change("DataLoader.Train.dataset.cls_label_pth", "x"), "DataLoader.Train.dataset has no option 'cls_label_pth'"),
])
def test_what_the_user_can_mend_is_refused_by_its_place(settings, tmp_path, changes, message):
    changes(settings)
    with pytest.raises(InputError, match=f"run.yaml: .*{message}|run.yaml: {message}"):
        generate(settings)
    assert not list((tmp_path / "store").glob("shard-*"))


def test_teachers_of_different_classes_are_refused(settings, tmp_path):
    save_weights(build_network("SmallResNet", 5, width=4), tmp_path / "five.pdparams")
    other = {**teacher(tmp_path, 4), "class_num": 5, "pretrained": str(tmp_path / "five.pdparams")}
    settings["Arch"]["teachers"] = [settings["Arch"].pop("teacher"), other]
    with pytest.raises(InputError, match="Arch.teachers disagree on the number of classes: SmallResNet has class_num 4, "
                                         "SmallResNet has class_num 5"):
        generate(settings)


def test_an_error_names_the_teacher_of_a_list(settings, tmp_path):
    settings["Arch"]["teachers"] = [teacher(tmp_path, 4), teacher(tmp_path, 8, size=0)]
    with pytest.raises(InputError, match=r"run.yaml \(Arch.teachers\[1\]\): Arch.teacher: size must be"):
        generate(settings)


def test_a_store_that_was_begun_with_something_else_is_refused(settings):
    generate(settings)
    with pytest.raises(InputError, match="run.yaml: SoftLabels: .*temperature"):
        generate(settings, temperature=2.0)
    settings["Arch"]["teacher"]["interpolation"] = "bilinear"
    with pytest.raises(InputError, match="run.yaml: SoftLabels: "):
        generate(settings)


def test_missing_files_are_an_error_before_the_teacher_is_asked(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("ssld.build_soft_labels.build_teachers", lambda config: pytest.fail("weights were read"))
    (tmp_path / "train" / "5.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 24 images cannot be read, more than max_bad_fraction 0.001(.|\n)*train/5.jpg"):
        generate(settings)


def test_a_process_that_does_not_see_the_folder_of_the_others_says_so(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("ssld.build_soft_labels.device.is_main", lambda: False)
    with pytest.raises(InputError, match="store is not there: it must be on a disk that all processes see"):
        generate(settings)


def start(tmp_path, settings, processes=1):
    """`tools/generate_soft_labels.py` on some settings, by itself or under the launcher."""
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes), "--log_dir", str(tmp_path / "logs")]
    return subprocess.Popen([sys.executable, *(launcher if processes > 1 else []), ROOT / "tools" / "generate_soft_labels.py",
                             "-c", tmp_path / "run.yaml"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, start_new_session=True)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(settings, tmp_path, make_list):
    make_list(tmp_path, "train", 200)
    settings["SoftLabels"].update(shard_images=40, crops=40)
    whole = generate(settings, tmp_path / "whole")
    run = start(tmp_path, settings)
    deadline = time.monotonic() + 120
    while not (tmp_path / "store" / "shard-00001.bin.partial").exists():
        assert run.poll() is None and time.monotonic() < deadline, run.stdout.read()
        time.sleep(0.002)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    with pytest.raises(InputError, match="not finished: start the same command again"):
        Store(tmp_path / "store")
    run = start(tmp_path, settings)
    assert run.wait(120) == 0, run.stdout.read()
    assert shards(Store(tmp_path / "store")) == shards(whole)
    Store(tmp_path / "store").verify(show_progress=False)


@pytest.mark.dist
def test_two_processes_write_the_same_bytes_as_one(settings, tmp_path):
    one = generate(settings, tmp_path / "one")
    run = start(tmp_path, settings, processes=2)
    said = run.communicate(timeout=300)[0]
    logs = [(tmp_path / "logs" / f"workerlog.{rank}").read_text() for rank in range(2)]
    assert run.returncode == 0, said + "".join(logs)
    two = Store(tmp_path / "store")
    assert shards(two) == shards(one) and two.meta["table"]["sha256"] == one.meta["table"]["sha256"]
    assert "wrote " in logs[0] and "wrote " not in logs[1] and "self-check" not in logs[1]


@pytest.mark.dist
def test_an_image_that_one_process_cannot_label_ends_both_with_status_2(settings, tmp_path):
    Image.new("RGB", (33_000, 2)).save(tmp_path / "train" / "8.jpg", quality=50)        # of the second process's first file
    began = time.monotonic()
    run = start(tmp_path, settings, processes=2)
    said = run.communicate(timeout=300)[0]
    main_log = (tmp_path / "logs" / "workerlog.0").read_text()
    assert run.returncode == 2, said + main_log
    assert "error: train/8.jpg has 33000 x 2 pixels" in main_log and "Traceback" not in main_log
    assert time.monotonic() - began < 120
