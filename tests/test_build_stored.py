from __future__ import annotations

import json

import numpy as np
import pytest

from ssld import build
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network


@pytest.fixture
def trainer_of(stored, changed):
    """Builds the trainer after changes such as {"Global.epochs": 2}."""
    return lambda changes=(): build.build_trainer(Config(changed(stored, changes), "run.yaml"))


def test_one_line_replaces_the_live_teacher(trainer_of, stored, tmp_path):
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    live = {"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "eager", "pretrained": str(tmp_path / "teacher")}
    for source, provides in (("stored", {"probabilities"}), ("live", {"probabilities", "logits", "features"})):
        trainer = trainer_of({"Arch.teacher": {**stored["Arch"]["teacher"], **live, "source": source}})
        assert trainer.model.teacher.provides == provides
        losses = trainer.model(next(trainer.loader.batches(0, 1)))
        assert float(losses.total) > float(losses.minima["SoftCELoss"]) > 0


def test_an_epoch_shows_as_many_crops_as_before(trainer_of):
    trainer = trainer_of({"Global.epochs": 8})                 # 24 images, batch 8, two crops of each image
    assert trainer.total_steps == 3 * 6 + 2 * 3 and str(trainer.timetable) == "8 epochs: 3 x 2 in 6, 2 x 1 in 3"
    batch = next(trainer.loader.batches(0, 1))
    assert batch["image"].shape == [8, 3, 16, 16] and batch["label_ids"].shape == [8, 3]
    np.testing.assert_array_equal(batch["index"].numpy()[:4], batch["index"].numpy()[4:])


def test_epochs_may_be_counted_in_steps_as_with_a_live_teacher(trainer_of):
    trainer = trainer_of({"Global.epochs": 5, "Global.iter_per_epoch": 2})
    assert trainer.total_steps == 10 and str(trainer.timetable) == "5 epochs of 2"


@pytest.mark.parametrize("kind, k, entries", [("full", None, {"soft_label"}), ("hard", None, {"label_ids"}),
                                              ("marginal_renorm", 2, {"label_ids"}), ("smoothing", None, {"label_ids"})])
def test_a_store_that_keeps_everything_serves_every_kind(trainer_of, tmp_path, make_store, kind, k, entries):
    make_store(tmp_path / "all", tmp_path / "train.txt", "full", None)
    trainer = trainer_of({"Arch.teacher.path": str(tmp_path / "all"), "Arch.teacher.kind": kind, "Arch.teacher.k": k})
    batch = next(trainer.loader.batches(0, 1))
    assert entries <= set(batch)
    labels = trainer.model.teacher(batch).probabilities.numpy()
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert labels.min() >= 0 and ((labels > 0).sum(1) == {"hard": 1, "marginal_renorm": 2}.get(kind, 4)).all()


@pytest.mark.parametrize("changes, message", [
    ({"Arch.teacher.sorce": "x"}, "Arch.teacher has no option 'sorce'. Did you mean 'source'"),
    ({"Arch.teacher.source": "saved"}, "Arch.teacher.source cannot be 'saved'"),
    ({"Arch.teacher.crops_per_image": 0}, "crops_per_image must be a whole number of at least 1"),
    ({"Arch.teacher.policy": "covr"}, "policy cannot be 'covr'. Did you mean 'cover'"),
    ({"Arch.teacher.k": 4}, "holds kind marginal_smoothing with K = 3 and cannot be read as marginal_smoothing with K = 4"),
    ({"Arch.teacher.kind": "full"}, "cannot be read as full"),
    ({"Arch.teacher.path": "nowhere"}, "nowhere is no store of soft labels"),
    ({"Arch.student.class_num": 5}, "SmallResNet has class_num 5, but the soft labels in .* are for 4 classes"),
    ({"Arch.teacher.name": "SmallResNet", "Arch.teacher.class_num": 4, "Arch.teacher.crops_per_imag": 2},
     "Arch.teacher has no option 'crops_per_imag'"),
    ({"Global.fix_resolution": True}, "stored labels belong to random crops, but a Fix stage"),
    ({"Loss.Train": [{"MEALV2Discriminator": {"inputs": "logits"}}]},
     "MEALV2Discriminator needs teacher logits, but this teacher"),
    ({"Arch.teacher.ferkd": {"discard_below": 0.1}}, "ferkd needs the option"),
    ({"DataLoader.Train.sampler.name": "RASampler"}, "RASampler is for training on images as they come, not here"),
    ({"DataLoader.Train.sampler.batch_size": 48, "DataLoader.Train.sampler.drop_last": True}, "fewer than one batch"),
    ({"Optimizer.lr.warmup_epoch": 3}, "warmup_epoch 3 is longer than the run of 1 epochs"),
])
def test_what_does_not_fit_is_refused_with_its_place(trainer_of, changes, message):
    with pytest.raises(InputError, match=f"run.yaml.*{message}"):
        trainer_of(changes)


def test_a_list_with_images_that_the_store_does_not_know_is_refused(trainer_of, tmp_path):
    with open(tmp_path / "train.txt", "a") as out:
        out.write("val/0.jpg 1\n")
    with pytest.raises(InputError, match=r"has no soft labels for 1 of the 25 images .*train.txt; it was made for another "
                                         r"list:\n.*train.txt:25 \(val/0.jpg\)"):
        trainer_of({"DataLoader.Eval": None})


def test_a_part_of_the_list_may_be_trained_on(trainer_of, tmp_path):
    lines = (tmp_path / "train.txt").read_text().splitlines()
    (tmp_path / "train.txt").write_text("\n".join(reversed(lines[8:20])))
    trainer = trainer_of()
    batch = next(trainer.loader.batches(0, 1))
    store, dataset = trainer.model.teacher.store, trainer.loader.dataset
    row = int(batch["index"][0])
    assert len(dataset) == 12 and store.images.path[dataset.labels.rows[row]] == dataset.manifest.path[row]


def test_images_that_were_unreadable_when_labels_were_made_are_left_out_and_counted(trainer_of, tmp_path, make_store, capsys):
    make_store(tmp_path / "some", tmp_path / "train.txt", unreadable=(3, 4))
    changes = {"Arch.teacher.path": str(tmp_path / "some"), "DataLoader.Train.dataset.max_bad_fraction": 0.1}
    assert len(trainer_of(changes).loader.dataset) == 22
    assert "2 of the 24 images" in capsys.readouterr().err
    with pytest.raises(InputError, match="More than max_bad_fraction 0.05 allows"):
        trainer_of({**changes, "DataLoader.Train.dataset.max_bad_fraction": 0.05})


def test_ferkd_replaces_whole_distributions_as_well(trainer_of, tmp_path, make_store):
    make_store(tmp_path / "all", tmp_path / "train.txt", "full", None)
    ferkd = {"discard_below": 0.0, "hard_below": 1.0, "discard_above": 1.0, "epsilon": 0.1}
    trainer = trainer_of({"Arch.teacher.path": str(tmp_path / "all"), "Arch.teacher.ferkd": ferkd})
    batch = next(trainer.loader.batches(0, 1))
    np.testing.assert_allclose(batch["soft_label"].numpy().max(1), 0.9, atol=1e-6)
    np.testing.assert_array_equal(batch["soft_label"].numpy().argmax(1), batch["label"].numpy())


def test_ferkd_needs_labels_and_leaves_crops_out(trainer_of, tmp_path):
    ferkd = {"discard_below": 0.3, "hard_below": 0.6, "discard_above": 0.95, "epsilon": 0.1}
    trainer = trainer_of({"Arch.teacher.ferkd": ferkd})
    batch = next(trainer.loader.batches(0, 1))
    labels = trainer.model.teacher(batch).probabilities.numpy()
    hard = np.isclose(labels.max(1), 0.9, atol=1e-6)
    assert hard.any() and (labels[hard].argmax(1) == batch["label"].numpy()[hard]).all()
    (tmp_path / "train.txt").write_text((tmp_path / "train.txt").read_text().replace("train/6.jpg 2", "train/6.jpg"))
    with pytest.raises(InputError, match="FerKD compares with the true class, but 1 of 24 images"):
        trainer_of({"Arch.teacher.ferkd": ferkd})


def test_a_store_of_another_version_or_without_a_shard_is_refused(trainer_of, tmp_path):
    meta = tmp_path / "labels" / "meta.json"
    text = meta.read_text()
    meta.write_text(json.dumps({**json.loads(text), "version": 99}))
    with pytest.raises(InputError, match="is of version 99"):
        trainer_of()
    meta.write_text(text)
    (tmp_path / "labels" / "shard-00001.bin").unlink()
    with pytest.raises(InputError, match="shard-00001.bin is missing"):
        trainer_of()
