"""From a run's config to the exported student: what `ssld export` does."""
from __future__ import annotations

import json
from pathlib import Path

import paddle

from dedup.files import sha256_file, write_json

from .. import build
from ..config import Config
from ..data.dataset import Visit
from ..teachers.onednn import OneDNNProgram
from ..train.run import trained_student
from .student import export_student


def export(config: Config, out: str, weights: str | None = None, use: str = "classification") -> list[Path]:
    """Write the student of a run alone; its accuracy is measured on the exported inference model.

    Args:
        config: of the run; its evaluation list and transforms give the input size.
        out: folder for the files; see `ssld.export.student`.
        weights: see `ssld.train.run.trained_student`.
        use: see `ssld.export.student`.
    """
    network, file = trained_student(config, weights)
    measure = build.evaluator(config)
    size = tuple(measure.dataset[Visit(0, 0)]["image"].shape[1:])
    arch = {key: value for key, value in config.section("Arch")["student"].items()
            if key not in ("pretrained", "pretrained_part", "trainable", "lr_mult_list", "use_ssld", "engine")}
    source = {"weights": str(file), "sha256": sha256_file(file), "config": config.data}
    files = export_student(network, arch, out, size, source, use)
    program = OneDNNProgram(Path(out) / "inference")
    evaluation = measure(lambda image: paddle.to_tensor(program(image.numpy())))
    print(f"exported model: {evaluation}")
    card = json.loads(files[-1].read_text())
    write_json(files[-1], {**card, "accuracy": evaluation._asdict()})
    print(f"wrote {', '.join(map(str, files))}", flush=True)
    return files
