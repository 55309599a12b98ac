"""Trains into output_dir/whole, and into output_dir/cut with a stop after five steps: two_ranks_resume.py CONFIG.

Before a process averages its statistics with the other's, it leaves its own in output_dir/<run>_<kind>_rank<N>.npz.
"""
import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from ssld import build, device  # noqa: E402
from ssld.config import Config  # noqa: E402
from ssld.train import trainer  # noqa: E402

STOP = 5


class Stopped(Exception):
    """In the place of a kill."""


def leave(file: Path, tensors: dict, prefix: str = "") -> None:
    np.savez(file, **{name[len(prefix):]: tensor.numpy() for name, tensor in tensors.items() if name.startswith(prefix)})


def fit(config: Config, output: str, stop: int = -1) -> None:
    data, folder = copy.deepcopy(config.data), Path(config.data["Global"]["output_dir"])
    data["Global"]["output_dir"] = str(folder / output)
    training = build.build_trainer(Config(data, config.file))
    begin_step, average = training.begin_step, trainer.average_statistics

    def stopping_begin_step():
        if training.step == stop:
            raise Stopped
        begin_step()

    def noting_average(network):
        if network is training.model:
            leave(folder / f"{output}_model_rank{device.rank()}.npz", network.state_dict(), "student.")
            leave(folder / f"{output}_ema_rank{device.rank()}.npz", training.ema.average)
        average(network)

    training.begin_step, trainer.average_statistics = stopping_begin_step, noting_average
    try:
        training.fit()
    except Stopped:
        device.wait_for_all()               # the main process may still be saving
    finally:
        trainer.average_statistics = average


def main(config: Config) -> None:
    device.start("cpu")
    fit(config, "whole")
    fit(config, "cut", STOP)
    fit(config, "cut")


if __name__ == "__main__":
    main(Config.load(sys.argv[1]))
