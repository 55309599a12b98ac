"""Trains by each method for five steps, each process on images of its own: two_ranks.py FOLDER.

FOLDER/run.yaml is a run without losses. Leaves in FOLDER/rank<N>.npz all weights, and what methods remember, under
"trained/<method>/" and, as they were at the beginning, "start/<method>/"; the images that it saw, "rows/<method>"; of a student
of one convolution, without a trainer, "halves/<method>/".
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import paddle  # noqa: E402
import yaml  # noqa: E402
from paddle import nn  # noqa: E402
from paddle.nn import functional as F  # noqa: E402

from ssld import device  # noqa: E402
from ssld.build import build_trainer  # noqa: E402
from ssld.config import Config  # noqa: E402
from ssld.methods import METHODS  # noqa: E402
from ssld.methods.base import Site  # noqa: E402
from ssld.outputs import Outputs  # noqa: E402

IMAGES, CLASSES, BATCH, STEPS = 40, 4, 8, 5
SHAPES = {"stage1": (6, 4, 4), "pool": (6,)}
SCALEKD = {"heads": [2, 4], "tpp": False, "student_taps": ["stage2", "stage3"], "teacher_taps": ["stage2", "stage3"]}
CRD = {"embedding": 4, "negatives": 10}
OPTIONS = {"CRDLoss": CRD, "ScaleKDLoss": SCALEKD, "ReviewKDLoss": {f"{whose}_taps": ["pre_stage1", "stage2", "stage3", "pool"]
                                            for whose in ("student", "teacher")}}
MEANS = ("BKDLoss", "CRDLoss", "DKDLoss", "KDLoss")             # over images, so that two halves of a batch make the whole


def fit(name: str, folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a run of the real trainer, by this method alone."""
    settings = yaml.safe_load((folder / "run.yaml").read_text())
    settings["Global"]["output_dir"] = str(folder / name)
    settings["Loss"] = {"Train": [{name: OPTIONS.get(name, {})}]}
    trainer = build_trainer(Config(settings, "run.yaml"))
    found = {f"start/{name}/{key}": value.numpy() for key, value in trainer.model.state_dict().items()}
    found[f"rows/{name}"] = np.array([[visit.row for visit in trainer.loader.sampler.visits(step)] for step in range(STEPS)])
    trainer.fit()
    return {**found, **{f"trained/{name}/{key}": value.numpy() for key, value in trainer.model.state_dict().items()}}


class Taught(nn.Layer):
    """A student of one convolution and a method; batch and teacher -> loss."""

    def __init__(self, method):
        super().__init__()
        self.method, self.convolution, self.classifier = method, nn.Conv2D(3, 6, 3, padding=1), nn.Linear(6, CLASSES)

    def forward(self, batch):
        loss = self.method(self.answer(batch["image"]), batch["teacher"], batch)
        return sum(loss.values()) if isinstance(loss, dict) else loss

    def answer(self, image):
        """Logits and features of images [B, 3, 4, 4]."""
        stage = F.relu(self.convolution(image))
        pooled = stage.mean(axis=[2, 3])
        return Outputs(self.classifier(pooled), {"stage1": stage, "pool": pooled})


def labels() -> np.ndarray:
    return np.arange(IMAGES) % CLASSES


def batch_of(step: int, rank: int, ranks: int) -> dict:
    """The rows of one process; those of all processes are the same whatever their number. Index 0 is there in all of them."""
    rng = np.random.default_rng(step)
    rows = np.concatenate([[0, 0], rng.permutation(IMAGES - 1)[:BATCH - 2] + 1])[rank::ranks]
    image = np.random.default_rng(99).normal(0, 1, (IMAGES, 3, 4, 4)).astype(np.float32)
    paddle.seed(5)
    teacher = Taught(nn.Layer()).answer(paddle.to_tensor(image[rows]) * 2)
    return {"image": paddle.to_tensor(image[rows]), "label": paddle.to_tensor(labels()[rows]), "index": paddle.to_tensor(rows),
            "teacher": Outputs(teacher.logits.detach(), {name: each.detach() for name, each in teacher.features.items()})}


def train(name: str, rank: int = 0, ranks: int = 1) -> dict[str, np.ndarray]:
    """All arrays after five steps."""
    paddle.seed(3)
    model = Taught(METHODS.build(name, OPTIONS.get(name), "here", class_num=CLASSES))
    model.method.attach(Site(SHAPES, SHAPES, labels(), 3, (4, 4), None, (4, 4)))
    if name == "CRDLoss":           # the same negatives for an image, whoever draws them
        model.method.negatives.draw = lambda label, index, count: (
            (index.unsqueeze(1) + 1 + 3 * paddle.arange(count)) % IMAGES).astype("int32")
    optimizer = paddle.optimizer.Momentum(0.1, 0.9, [each for each in model.parameters() if not each.stop_gradient])
    parallel = paddle.DataParallel(model) if ranks > 1 else model
    for step in range(STEPS):
        parallel(batch_of(step, rank, ranks)).backward()
        optimizer.step()
        optimizer.clear_grad()
    return {f"halves/{name}/{key}": value.numpy() for key, value in model.state_dict().items()}


if __name__ == "__main__":
    device.start("cpu")
    folder, found = Path(sys.argv[1]), {}
    for name in METHODS.names():
        found.update(fit(name, folder))
    for name in MEANS:
        found.update(train(name, device.rank(), device.world_size()))
    np.savez(folder / f"rank{device.rank()}.npz", **found)
