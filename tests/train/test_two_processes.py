"""Two processes over gloo, each with half the batch, against one process with the whole."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssld.config import Config
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import evaluate_weights
from ssld.train.runlog import read_events

pytestmark = pytest.mark.dist

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@pytest.fixture
def launch(tmp_path):
    """Runs a script in two processes on a config."""
    def launch(script: Path, data: dict, *options: str) -> None:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(data))
        done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                               tmp_path / "logs", script, *options, tmp_path / "run.yaml"], cwd=tmp_path, capture_output=True,
                              text=True, timeout=300)
        logs = "".join(file.read_text() for file in (tmp_path / "logs").glob("workerlog.*"))
        assert done.returncode == 0, done.stdout + done.stderr + logs
    return launch


def test_two_processes_with_half_the_batch_equal_one_with_the_whole(launch, run, tiny, tmp_path, without_batch_norm):
    # batch statistics are those of a process, so batch norm stands still here
    tiny["Arch"]["student"]["trainable"] = without_batch_norm
    tiny["DataLoader"]["Eval"]["sampler"]["batch_size"] = 3
    tiny["Global"].update(epochs=5, iter_per_epoch=2, output_dir=str(tmp_path / "two"))
    one = run("one")
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    launch(HERE / "two_ranks.py", tiny)
    with np.load(tmp_path / "two" / "rank0.npz") as first, np.load(tmp_path / "two" / "rank1.npz") as second:
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    expected, found = (latest_checkpoint(folder) for folder in (one, tmp_path / "two"))
    assert expected.step == found.step == 10
    for name, value in expected.training_state().items():
        # sums over the batch in another order: float32 rounding, grown over ten steps
        np.testing.assert_allclose(found.training_state()[name], value, atol=1e-5, err_msg=name)
    assert found.card["best"] == expected.card["best"]


def test_the_reported_accuracy_is_that_of_the_saved_file(launch, tiny, tmp_path, make_list):
    make_list(tmp_path, "val", 101)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "config.yaml").write_text("Global: {epochs: 7}\n")        # of another run, to be discarded
    (tmp_path / "two" / "checkpoints" / "step_00000099").mkdir(parents=True)
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    tiny["Global"].update(epochs=4, output_dir=str(tmp_path / "two"), keep_checkpoints=9)
    launch(ROOT / "tools" / "train.py", tiny, "--restart", "-c")
    reported = {event["step"]: event for event in read_events(tmp_path / "two") if event["event"] == "eval"}
    assert list(reported) == [3, 6, 9, 12]
    for step, event in reported.items():
        found = evaluate_weights(Config(tiny, "run.yaml"), str(tmp_path / "two" / "checkpoints" / f"step_{step:08d}"), "eager")
        assert event["images"] == found.images == 101
        assert (event["top1"], event["top5"]) == (found.accuracy["top1"], found.accuracy["top5"])
    assert len({event["top1"] for event in reported.values()}) > 1
