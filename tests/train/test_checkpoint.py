from __future__ import annotations

import builtins
import errno
import io
import itertools
import json
import os
import shutil

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.weights import read_state
from ssld.train import checkpoint
from ssld.train.checkpoint import STUDENT, TRAINING, latest_checkpoint, open_checkpoint, save_checkpoint


@pytest.fixture
def save(tmp_path):
    """Saves a checkpoint whose content follows from its step."""
    def save(step, **options):
        return save_checkpoint(tmp_path, step, {"w": paddle.full([2], float(step))}, {"x": np.arange(step)},
                               {"epoch": step / 2, "best": best_of(step, options)}, **options)
    return save


def best_of(step, options) -> dict:
    return {"step": step if options.get("best") else 1}


def steps(folder) -> list:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step_*"))


def test_a_checkpoint_comes_back_as_it_was(save, tmp_path):
    folder = save(3)
    found = latest_checkpoint(tmp_path)
    assert found.folder == folder and found.step == 3 and found.card["epoch"] == 1.5
    assert found.training_state()["x"].tolist() == [0, 1, 2]
    assert read_state(folder)["w"].tolist() == [3, 3]


def test_a_run_without_checkpoints_has_no_latest(tmp_path):
    assert latest_checkpoint(tmp_path) is None


def test_the_links_are_relative_and_point_at_the_newest_and_the_best(save, tmp_path):
    save(1, best=True)
    save(2)
    assert (tmp_path / "latest").resolve().name == "step_00000002"
    assert (tmp_path / "best").resolve().name == "step_00000001"
    tmp_path.rename(tmp_path.with_name("moved"))
    assert read_state(tmp_path.with_name("moved") / "latest")["w"][0] == 2


def test_old_checkpoints_go_but_the_best_one_stays(save, tmp_path):
    for step in range(1, 7):
        save(step, best=step == 2, keep=2)
    assert steps(tmp_path) == [2, 5, 6]
    save(7, best=True, keep=2)
    assert steps(tmp_path) == [6, 7]


def test_checkpoints_are_ordered_by_number_also_beyond_a_digit_more(save, tmp_path):
    for step in (9, 10, 99, 100):
        save(step)
    assert latest_checkpoint(tmp_path).step == 100 and steps(tmp_path) == [99, 100]


@pytest.mark.parametrize("crash", ["write_state", "sha256_file", "write_json", "sync_folder"])
def test_a_crash_while_saving_leaves_the_checkpoint_absent_or_whole(save, tmp_path, monkeypatch, crash):
    save(1)

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, crash, die)
        with pytest.raises(KeyboardInterrupt):
            save(2)
    found = latest_checkpoint(tmp_path)
    assert found.step == (2 if crash == "sync_folder" else 1)
    save(2)
    assert latest_checkpoint(tmp_path).step == 2 and steps(tmp_path) == [1, 2]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_process_left_half_written_is_no_checkpoint(save, tmp_path):
    save(1)
    half = tmp_path / "checkpoints" / ".step_00000002.tmp"          # kill -9 runs no cleaning
    half.mkdir()
    (half / STUDENT).write_bytes(b"half")
    assert latest_checkpoint(tmp_path).step == 1
    save(2)
    assert latest_checkpoint(tmp_path).step == 2 and not half.exists()


class Disk:
    """Counts what changes the disk; from the `fatal`-th change on each raises what `fault` returns.

    Opening for reading passes. With `lasting`, removals fail too: after kill -9 nothing is tidied up.
    """

    WRITES = ("mkdir", "symlink", "replace", "rename", "fsync")
    REMOVALS = ("unlink", "rmdir")

    def __init__(self, patch, fatal, fault, lasting):
        self.count, self.fatal, self.fault = 0, fatal, fault
        for name in self.WRITES + (self.REMOVALS if lasting else ()):
            patch.setattr(os, name, self.counted(getattr(os, name)))
        patch.setattr(io, "open", self.opened(io.open))
        patch.setattr(builtins, "open", self.opened(builtins.open))

    def change(self):
        self.count += 1
        if self.count >= self.fatal:
            raise self.fault()

    def counted(self, original):
        def call(*args, **options):
            self.change()
            return original(*args, **options)
        return call

    def opened(self, original):
        def call(file, mode="r", *args, **options):
            if mode[0] in "wax":
                self.change()
            return original(file, mode, *args, **options)
        return call


class Killed(BaseException):
    """Stands for kill -9: no handler of ours catches it, and no tidying up succeeds."""


def no_space():
    return OSError(errno.ENOSPC, "No space left on device")


def save_with_faults(save, tmp_path, monkeypatch, fault, lasting, expected):
    """Save step 3 on fresh runs, with a fault at the 1st, 2nd, ... change of the disk until none is left; yields the runs."""
    for fatal in itertools.count(1):
        shutil.rmtree(tmp_path, ignore_errors=True)
        save(1, best=True)
        save(2)
        with monkeypatch.context() as patch:
            disk = Disk(patch, fatal, fault, lasting)
            try:
                save(3, best=True, keep=1)
            except expected as error:
                failure = error
            else:
                break
        yield disk.count, failure
    assert fatal > 10                       # mkdir, three files with their renames, links, ...


def test_a_process_may_be_killed_at_every_change_of_the_disk(save, tmp_path, monkeypatch):
    seen = set()
    for _ in save_with_faults(save, tmp_path, monkeypatch, Killed, True, Killed):
        found = latest_checkpoint(tmp_path)
        assert found.step in (2, 3) and read_state(found.folder)["w"][0] == found.step
        assert (tmp_path / "latest").resolve() == found.folder.resolve()                # made up for, if need be
        assert (tmp_path / "best").resolve().name == f"step_0000000{3 if found.step == 3 else 1}"
        for folder in (tmp_path / "checkpoints").glob("step_*"):
            assert open_checkpoint(folder).training_state()["x"].size == open_checkpoint(folder).step
        seen.add(found.step)
        save(found.step + 1, keep=1)
        names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
        assert names == {f"step_0000000{n}" for n in (found.step + 1, 3 if found.step == 3 else 1)}
    assert seen == {2, 3}


def test_a_full_disk_at_any_moment_is_said_and_keeps_a_good_checkpoint(save, tmp_path, monkeypatch):
    for _, failure in save_with_faults(save, tmp_path, monkeypatch, no_space, False, InputError):
        assert "step_00000003 could not be written: No space left on device. Earlier checkpoints are unchanged" in str(failure)
        found = latest_checkpoint(tmp_path)
        assert found.step in (2, 3) and read_state(found.folder)["w"][0] == found.step
        assert not list((tmp_path / "checkpoints").glob(".*.tmp"))                       # gives back what it took
        save(4)
        assert latest_checkpoint(tmp_path).step == 4


def test_a_card_that_names_not_both_files_is_damaged(save, tmp_path):
    card = save(2) / "checkpoint.json"
    content = json.loads(card.read_text())
    del content["sha256"][TRAINING]
    card.write_text(json.dumps(content))
    with pytest.raises(InputError, match="step_00000002 is damaged: checkpoint.json cannot be read"):
        latest_checkpoint(tmp_path)


def test_a_full_disk_leaves_earlier_checkpoints_and_says_what_to_do(save, tmp_path, monkeypatch):
    save(1)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_state", full)
    with pytest.raises(InputError, match="could not be written: No space left on device.*"):
        save(2)
    assert latest_checkpoint(tmp_path).step == 1 and steps(tmp_path) == [1]


@pytest.mark.parametrize("name", [STUDENT, TRAINING])
@pytest.mark.parametrize("damage, message", [
    (lambda file: file.write_bytes(file.read_bytes()[:-1]), ".* was truncated or altered"),
    (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"), ".* was truncated or altered"),
    (lambda file: file.unlink(), " is missing")])
def test_a_damaged_checkpoint_is_refused_by_name_with_the_last_good_one(save, tmp_path, name, damage, message):
    for step in (1, 2):
        save(step)
    damage(tmp_path / "checkpoints" / "step_00000002" / name)
    with pytest.raises(InputError, match=f"latest is damaged: {name}{message}"):
        open_checkpoint(tmp_path / "latest")
    with pytest.raises(InputError, match=r"step_00000002 is damaged.*The last good one is .*step_00000001 \(step 1\)"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"step": 2}', '{"step": "x", "sha256": {}}'])
def test_a_damaged_card_is_refused_by_name(save, tmp_path, content):
    card = save(2) / "checkpoint.json"
    card.unlink() if content is None else card.write_text(content)
    with pytest.raises(InputError, match="step_00000002 is damaged: checkpoint.json cannot be read.*No good one is left"):
        latest_checkpoint(tmp_path)


def test_a_second_damaged_checkpoint_is_passed_over_with_a_warning(save, tmp_path, capsys):
    for step in (1, 2, 3):
        save(step, keep=3)
    for step in (2, 3):
        (tmp_path / "checkpoints" / f"step_0000000{step}" / STUDENT).unlink()
    with pytest.raises(InputError, match="The last good one is .*step_00000001"):
        latest_checkpoint(tmp_path)
    assert "step_00000002 is damaged" in capsys.readouterr().err
