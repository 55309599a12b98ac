"""From a run's config to the exported student: what `ssld export` and `ssld export-transfer` do."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle

from .. import build
from ..build_data import build_dataset, loader_section
from ..config import Config, merge
from ..registry import options_of
from ..train.evaluate import Evaluation
from .class_names import read_class_names
from .comparison import Program, sample_images
from .source import arch_of, preprocess_of, source_of, student_and_file
from .student import TARGETS, Student, export_for_transfer, export_student


def export(config: Config, out: str, weights: str | None = None, use: str | None = None, also: Sequence[str] = (),
           class_names: str | None = None) -> list[Path]:
    """Write the student of a run alone; the accuracy of each static model is measured on its own file.

    Args:
        config: of the run; its evaluation list and transforms give the input size.
        out: folder for the files; see `ssld.export.student`.
        weights: see `ssld.export.source`.
        use, also: see `ssld.export.student`.
        class_names: see `ssld.export.class_names`.
    """
    student = _student(config, out, weights, class_names)
    measure = build.evaluator(config)

    def evaluate(name: str, program: Program) -> Evaluation:
        evaluation = measure(lambda image: paddle.to_tensor(program(image.numpy())))
        print(f"exported model, {name}: {evaluation}", flush=True)
        return evaluation

    images = sample_images(measure.dataset)
    files = export_student(student, out, images, use, also, lambda: calibration_images(config), evaluate)
    print(f"wrote {', '.join(map(str, files))}", flush=True)
    return files


def export_transfer(config: Config, out: str, weights: str | None = None, targets: Sequence[str] = TARGETS[:1],
                    use: str | None = None, classifier: bool = True) -> list[Path]:
    """Write what a transfer needs of the student of a run; no image is looked at.

    Args:
        config: of the run.
        out: folder for the files; see `ssld.export.student`.
        weights: see `ssld.export.source`.
        targets, use, classifier: see `ssld.export.student.export_for_transfer`.
    """
    files = export_for_transfer(_student(config, out, weights), out, targets, use, classifier)
    print(f"wrote {', '.join(map(str, files))}", flush=True)
    return files


def calibration_images(config: Config) -> np.ndarray:
    """Images of the training list under the evaluation's transforms, float32 [n, 3, H, W]."""
    where = config.where("DataLoader", "Train", "dataset")
    train = options_of(loader_section(config, "Train").get("dataset"), where)
    images = {"delimiter": " ", **{key: train[key] for key in ("image_root", "cls_label_path", "delimiter") if key in train}}
    seen_so = merge(config.data, {"DataLoader": {"Eval": {"dataset": {**images, "check_files": False}}}})
    return sample_images(build_dataset(Config(seen_so, config.file), "Eval"))


def _student(config: Config, out: str, weights: str | None, class_names: str | None = None) -> Student:
    network, file = student_and_file(config, weights)
    arch = arch_of(config)
    print(f"{file}: {arch['name']}, {arch['class_num']} classes, into {out}", flush=True)
    names = read_class_names(class_names, arch["class_num"]) if class_names else None
    return Student(network, arch, source_of(config, file), preprocess_of(config), names)
