"""One student's training. It knows nothing about distillation: a model answers a batch with losses, and that is all."""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from dedup.files import atomic_write

from .. import __version__
from ..data.dataset import UnreadableImages
from ..data.loader import Loader
from ..device import is_main, rank, world_size
from ..errors import InputError
from ..optim.ema import EMA
from ..optim.optimizers import optimizer_state, restore_optimizer
from ..optim.schedules import Schedule
from ..outputs import Losses
from ..progress import Progress
from ..timetable import Pass
from .checkpoint import latest_checkpoint, save_checkpoint
from .evaluate import Evaluation
from .loop import fit
from .parallel import average_statistics, gather_rows, seed_step, together
from .precision import Precision
from .runlog import RunLog
from .settings import Settings

NOT_FINITE = "not_finite"       # event of the log: a loss or a weight is not, and the run stops


class Trainer:
    """Trains `model` on the batches of `loader`, evaluates, saves, and goes on where an earlier run stopped.

    Every random draw of a step is a function of (seed, step, process), so a resumed run equals an uninterrupted one.

    Args:
        model: a Distiller: batch -> Losses, with `student`, `epoch` and `diagnostics`.
        loader: batches by step.
        optimizer: of the model's trainable parameters; its rate is set by `schedule`.
        schedule: step -> learning rate.
        settings: the Global section.
        evaluate: accuracy of a network, or None when there is no evaluation list.
        ema: average of the student's weights to evaluate and save in place of the raw ones, or None.
        precision: mixed precision; off by default.
        notes: what every checkpoint's card says besides, such as what the run began with.
        name: which of several students it is, for lines of progress.
    """

    def __init__(self, model: nn.Layer, loader: Loader, optimizer, schedule: Schedule, settings: Settings,
                 evaluate: Callable[[nn.Layer], Evaluation] | None = None, ema: EMA | None = None,
                 precision: Precision | None = None, notes: Mapping | None = None, name: str = ""):
        self.model, self.loader, self.optimizer, self.schedule = model, loader, optimizer, schedule
        self.settings, self.evaluate, self.ema = settings, evaluate, ema
        self.precision, self.notes = precision or Precision(), dict(notes or {})
        self.timetable = schedule.timetable
        self.total_steps = self.timetable.steps_by(settings.stop_after_epoch or self.timetable.epochs)
        self.label = f"[{name}] " if name else ""
        self.step = 0
        self.best: dict | None = None           # {"step": ..., "top1": ..., ...}
        self._unchecked: list[tuple[int, Losses, paddle.Tensor]] = []       # step, losses, rows of the batch
        self.parallel = paddle.DataParallel(model) if world_size() > 1 else model

    def fit(self) -> Path:
        """Train to the end; returns the folder of the last checkpoint. See `ssld.train.loop`, which calls what follows."""
        return fit([self])[0]

    def begin(self, unreadable: UnreadableImages) -> None:
        """Go on from the last checkpoint, if there is one, and open the log.

        Args:
            unreadable: images that the loader could not read; counted by who asks for batches.
        """
        self.unreadable = unreadable
        self._resume()
        self.log = RunLog(Path(self.settings.output_dir), self.step, self.settings.use_visualdl) if is_main() else None
        self._log("start", first_step=self.step, total_steps=self.total_steps, epochs=self.timetable.epochs,
                  images=len(self.loader.dataset), processes=world_size(),
                  batch=self.loader.sampler.global_batch * self.settings.update_freq, ssld=__version__,
                  paddle=paddle.__version__)
        self.progress = Progress(f"{self.label}step", self.total_steps, self.step, every_s=0, quiet=not is_main())
        self.model.train()

    def begin_step(self) -> None:
        """Set what depends on the time."""
        self.model.epoch = self.timetable.epoch_at(self.step)
        self.optimizer.set_lr(self.schedule(self.step))

    def learn(self, batch: dict, part: int = 0) -> None:
        """Forward and backward pass of one of the batches of a step.

        Args:
            batch: see `ssld.outputs`.
            part: which of the step's `update_freq` batches it is, from 0.
        """
        seed_step(self.settings.seed, self.step * self.settings.update_freq + part)
        if part + 1 < self.settings.update_freq and world_size() > 1:
            with self.parallel.no_sync():               # gradients are exchanged once, with the last batch
                self._forward_backward(batch)
        else:
            self._forward_backward(batch)

    def end_step(self, images_per_s: float) -> bool:
        """The optimizer's step, and what is due behind it: report, evaluation, checkpoint; returns whether anything was.

        Args:
            images_per_s: for the report.
        """
        self.precision.step(self.optimizer)
        self.optimizer.clear_grad()
        if self.ema:
            self.ema.update()
        self.step += 1
        report = self.step % self.settings.print_batch_step == 0 or self.step == self.total_steps
        if report:
            losses = self._unchecked[-1][1]
            self._check_finite()
            self._report(losses, images_per_s)
        return self._end_of_step() or report

    def end(self) -> Path:
        """Close the log; returns the folder of the last checkpoint."""
        self._log("end")
        if self.log:
            self.log.close()
        return Path(self.settings.output_dir) / "latest"

    def _forward_backward(self, batch: dict) -> None:
        with self.precision.cast():
            losses = self.parallel(batch)
        self._unchecked.append((self.step + 1, losses.detached(), batch["index"]))
        self.precision.backward(losses.total / self.settings.update_freq)

    def _end_of_step(self) -> bool:
        """Evaluation and checkpoint, where they are due; returns whether they were."""
        settings, last = self.settings, self.step == self.total_steps
        over = self.timetable.ended(self.step)
        by_epoch = over and _due(over, settings.save_interval)
        by_step = settings.save_steps and self.step % settings.save_steps == 0
        evaluate_now = self.evaluate and (last or (
            over and settings.eval_during_train and over.end >= settings.start_eval_epoch
            and _due(over, settings.eval_interval)))
        if not (by_epoch or by_step or evaluate_now or last):
            return False
        self._check_finite()
        average_statistics(self.model)
        found = self.model.diagnostics()
        if found:
            self._log("diagnostics", step=self.step, epoch=self.timetable.epoch_at(self.step), **found)
        if self.ema:
            average_statistics(self.ema)
        training = self._training_state() if is_main() else {}
        with self.ema.applied() if self.ema else contextlib.nullcontext():
            is_best = self._evaluate() if evaluate_now else False
            with together():
                if is_main():
                    self._save(training, is_best)
        self.model.train()
        return True

    def _evaluate(self) -> bool:
        """Measure the student; returns whether it is the best so far."""
        self.model.eval()
        evaluation = self.evaluate(self.model.student)
        epoch, top1 = self.timetable.epoch_at(self.step), evaluation.accuracy["top1"]
        is_best = self.best is None or top1 > self.best["top1"]
        if is_best:
            self.best = {"step": self.step, **evaluation.accuracy}
        self._log("eval", step=self.step, epoch=epoch, images=evaluation.images, **evaluation.accuracy)
        if is_main():
            print(f"{self.label}epoch {epoch:g}: {evaluation}  (best top1 {100 * self.best['top1']:.2f} %)", flush=True)
        return is_best

    def _training_state(self) -> dict[str, np.ndarray]:
        """Everything that training goes on from, besides the step."""
        state = {f"model/{name}": tensor.numpy() for name, tensor in self.model.state_dict().items()}
        state.update({f"optimizer/{name}": v for name, v in optimizer_state(self.optimizer, self.model).items()})
        state.update({f"ema/{name}": v for name, v in (self.ema.state() if self.ema else {}).items()})
        state.update({f"scaler/{name}": v for name, v in self.precision.state().items()})
        return state

    def _save(self, training: dict[str, np.ndarray], is_best: bool) -> None:
        broken = [name for name, value in training.items() if not np.isfinite(value).all()]
        if broken:
            self._log(NOT_FINITE, step=self.step)
            raise InputError(f"step {self.step} left {len(broken)} tensors that are not finite, such as {broken[0]}. Lower "
                             "the learning rate; nothing was saved, the last checkpoint is good.")
        card = {**self.notes, "epoch": self.timetable.epoch_at(self.step), "best": self.best, "seed": self.settings.seed}
        folder = save_checkpoint(self.settings.output_dir, self.step, self.model.student.state_dict(), training, card,
                                 is_best, self.settings.keep_checkpoints)
        self._log("checkpoint", step=self.step, folder=folder.name)

    def _resume(self) -> None:
        """Go on from the newest checkpoint of output_dir, if there is one."""
        checkpoint = latest_checkpoint(self.settings.output_dir)
        if checkpoint is None:
            return
        state = checkpoint.training_state()
        for name, tensor in self.model.state_dict().items():
            tensor.set_value(state[f"model/{name}"])
        restore_optimizer(self.optimizer, self.model, _below("optimizer/", state))
        if self.ema:
            self.ema.restore(_below("ema/", state))
        self.precision.restore(_below("scaler/", state))
        self.step, self.best = checkpoint.step, checkpoint.card["best"]
        if is_main():
            done = "already finished" if self.step >= self.total_steps else "going on"
            print(f"{done}: {checkpoint.folder} holds step {self.step} of {self.total_steps}", flush=True)

    def _report(self, losses: Losses, images_per_s: float) -> None:
        epoch, total = self.timetable.epoch_at(self.step), float(losses.total)
        rate = self.schedule(self.step - 1)
        parts = {name: float(part) for name, part in losses.parts.items()}
        above = {name: parts[name] - float(least) for name, least in losses.minima.items()}
        self.progress.update(self.step, f"epoch {epoch:.2f}  loss {total:.4f}  lr {rate:.5g}  {images_per_s:.0f} images/s")
        self._log("train", step=self.step, epoch=epoch, loss=total, parts=parts, lr=rate,
                  **({"above_minimum": above} if above else {}), images_per_s=images_per_s,
                  unreadable=len(self.unreadable.rows))

    def _log(self, event: str, **values) -> None:
        if self.log:
            self.log.write(event, **values)

    def _check_finite(self) -> None:
        """Stop at the first loss since the last check that is not finite, in any process.

        A look at every step would make a GPU wait at every step; one before each report and checkpoint saves no less.
        """
        unchecked, self._unchecked = self._unchecked, []
        broken = [entry for entry in unchecked if not np.isfinite(float(entry[1].total))]
        own = broken[0][0] if broken else self.total_steps + 1
        first = gather_rows(np.array([[own]])).min()        # one step later the weights of all processes are broken
        if first <= self.total_steps:
            self._log(NOT_FINITE, step=int(first))
        with together():
            if own == first <= self.total_steps:
                self._stop_not_finite(*broken[0])

    def _stop_not_finite(self, step: int, losses: Losses, rows: paddle.Tensor) -> None:
        """Name the loss terms and the images; the checkpoints stay as they are."""
        parts = ", ".join(f"{name} = {float(part)}" for name, part in losses.parts.items())
        manifest = self.loader.dataset.manifest
        files = [manifest.place(int(row)) for row in rows.numpy()]
        listing = Path(self.settings.output_dir) / f"not_finite_rank{rank()}.txt"
        with atomic_write(listing) as out:
            out.writelines(f"{file}\n" for file in files)
        raise InputError(f"the loss is not finite at step {step}: {parts}. The batch's {len(files)} images are "
                         f"listed in {listing}; the first is {files[0]}. Lower the learning rate or look at these images; "
                         "the last checkpoint is good.")


def _due(over: Pass, interval: int) -> bool:
    """Whether a pass that is over has come to a multiple of `interval` epochs, or gone past one."""
    return over.end // interval > over.epoch // interval


def _below(prefix: str, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}
