"""The Global section."""
from __future__ import annotations

from dataclasses import dataclass

from ..checks import not_negative, one_of, positive_int
from ..errors import InputError

FEATURES_ENGINES = ("eager", "onednn_fp32")


@dataclass(frozen=True)
class Settings:
    """What a run is told besides its data, networks and losses.

    Attributes:
        output_dir: folder for everything the run writes.
        device: auto, cpu, gpu, ...
        seed: of every random draw: weights, order of images, augmentation, dropout.
        epochs: length of the run.
        stop_after_epoch: end here for now, evaluated and saved as at the end; rates are those of the whole run, which the same
            config goes on with when this is later or absent.
        iter_per_epoch: optimizer steps that count as one epoch; default: one pass over the list.
        update_freq: batches whose gradients are accumulated for one optimizer step.
        print_batch_step: steps between two lines of progress and log.
        eval_during_train: evaluate while training; the last epoch is always evaluated when there is an Eval list.
        eval_interval: epochs between evaluations.
        start_eval_epoch: no evaluation before this epoch.
        save_interval: epochs between checkpoints; the last epoch is always saved.
        save_steps: additionally, steps between checkpoints, for very long epochs.
        keep_checkpoints: how many checkpoints to keep besides the best one.
        use_visualdl: also write scalars for VisualDL.
        fix_resolution: this is a Fix stage; what must hold for one is checked, see ssld.train.fix_stage.
        cache_features: in a Fix stage, what the frozen part of the student (and a teacher) says about each image is
            computed once, kept in output_dir/features, and the classifier trains and is measured on that; false runs
            the whole network on every image of every epoch. The classifier is the same.
        features_engine: runs the frozen part for that; eager: the kernels of training. onednn_fp32, on a CPU, takes a
            fifth of the time, and the classifier ends about 1e-6 of its largest weight away (benchmarks/fixres.py).
    """

    output_dir: str
    device: str = "auto"
    seed: int = 0
    epochs: int = 1
    stop_after_epoch: int | None = None
    iter_per_epoch: int | None = None
    update_freq: int = 1
    print_batch_step: int = 10
    eval_during_train: bool = True
    eval_interval: int = 1
    start_eval_epoch: int = 0
    save_interval: int = 1
    save_steps: int | None = None
    keep_checkpoints: int = 2
    use_visualdl: bool = False
    fix_resolution: bool = False
    cache_features: bool = True
    features_engine: str = "eager"

    def __post_init__(self):
        for name in ("epochs", "update_freq", "print_batch_step", "eval_interval", "save_interval", "keep_checkpoints"):
            positive_int(f"Global.{name}", getattr(self, name))
        for name in ("iter_per_epoch", "save_steps", "stop_after_epoch"):
            if getattr(self, name) is not None:
                positive_int(f"Global.{name}", getattr(self, name))
        if (self.stop_after_epoch or 0) > self.epochs:
            raise InputError(f"Global.stop_after_epoch {self.stop_after_epoch} lies behind the run's {self.epochs} epochs.")
        if self.seed != 0:
            positive_int("Global.seed", self.seed)
        not_negative("Global.start_eval_epoch", self.start_eval_epoch)
        one_of("Global.features_engine", self.features_engine, FEATURES_ENGINES)
