"""The time of a training step: a run that is left after some steps. A process of its own, so that no run warms up another.

    python -m ssld.compare.clock '{"config": "run.yaml", "overrides": [], "warm_up": 5, "steps": 30, "out": "time.json"}'
"""
from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import paddle

from dedup.files import write_json

from .. import build, device
from ..config import Config
from ..data.loader import Loader
from ..errors import InputError


class _Through(Exception):
    """The steps that were to be timed are done."""


class _ClockedLoader:
    """Hands on the batches of a loader and reads the clocks: when batch n is asked for, n steps are over."""

    def __init__(self, loader: Loader, warm_up: int, steps: int):
        self.loader, self.warm_up, self.last, self.marks = loader, warm_up, warm_up + steps, []

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def batches(self, first: int, last: int) -> Iterator[dict]:
        for over, batch in enumerate(self.loader.batches(first, last)):
            if over in (self.warm_up, self.last):
                if paddle.get_device() != "cpu":
                    paddle.device.synchronize()         # a GPU may be steps behind
                self.marks.append((time.process_time(), time.perf_counter()))
            if over == self.last:
                raise _Through
            yield batch


def time_of_step(file: str, overrides: Sequence[str], warm_up: int, steps: int) -> tuple[float, float]:
    """Processor seconds and seconds on the clock of one optimizer step of a run, loading of its batches included.

    Args:
        file: config of the run.
        overrides: "key=value" each.
        warm_up: steps before the clocks are read.
        steps: steps between the two readings, of `update_freq` batches each.

    Raises:
        InputError: the run cannot be built, or is too short.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # nothing is reported, measured or saved between the readings
        config = Config.load(file, [*overrides, f"Global.output_dir={scratch}", "Global.print_batch_step=1000000000",
                                    "Global.save_steps=null", "DataLoader.Eval=null"], show_native=False)
        settings = build.build_settings(config)
        device.start(settings.device)
        trainer = build.build_trainer(config)
        trainer.loader = clocked = _ClockedLoader(trainer.loader, *(count * settings.update_freq for count in (warm_up, steps)))
        try:
            trainer.fit()
        except _Through:
            (cpu, wall), (cpu_end, wall_end) = clocked.marks
            return (cpu_end - cpu) / steps, (wall_end - wall) / steps
    raise InputError(f"{file}: the run is over after {trainer.total_steps} steps, and {warm_up + steps + 1} are needed to time "
                     "one. Set steps and warm_up of Compare.timing lower, or timing: null.")


def main() -> int:
    """Measure what the only argument, JSON, asks for."""
    order = json.loads(sys.argv[1])
    try:
        cpu, wall = time_of_step(order["config"], order["overrides"], order["warm_up"], order["steps"])
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    write_json(order["out"], {"cpu_ms": 1000 * cpu, "wall_ms": 1000 * wall})
    return 0


if __name__ == "__main__":
    sys.exit(main())
