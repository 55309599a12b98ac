"""Trains a tiny student by each method for five steps, each process on images of its own: two_ranks.py FOLDER.

Leaves all weights, and what methods remember, in FOLDER/rank<N>.npz.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import paddle  # noqa: E402
from paddle import nn  # noqa: E402
from paddle.nn import functional as F  # noqa: E402

from ssld import device  # noqa: E402
from ssld.methods import METHODS  # noqa: E402
from ssld.methods.base import Site  # noqa: E402
from ssld.outputs import Outputs  # noqa: E402

IMAGES, CLASSES, BATCH, STEPS = 40, 4, 8, 5
SHAPES = {"pre_stage1": (6, 4, 4), "stage1": (6, 4, 4), "pool": (6,)}
OPTIONS = {"ScaleKDLoss": {"heads": [2, 3], "tpp": False, "student_taps": ["pre_stage1", "stage1"],
                           "teacher_taps": ["pre_stage1", "stage1"]},
           "CRDLoss": {"embedding": 4, "negatives": 10},
           "ReviewKDLoss": {"student_taps": ["pre_stage1", "pool"], "teacher_taps": ["pre_stage1", "pool"]}}


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
        before = self.convolution(image)
        pooled = F.relu(before).mean(axis=[2, 3])
        return Outputs(self.classifier(pooled), {"pre_stage1": before, "stage1": F.relu(before), "pool": pooled})


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
    return {key: value.numpy() for key, value in model.state_dict().items()}


if __name__ == "__main__":
    device.start("cpu")
    found = {f"{name}/{key}": value for name in METHODS.names()
             for key, value in train(name, device.rank(), device.world_size()).items()}
    np.savez(Path(sys.argv[1]) / f"rank{device.rank()}.npz", **found)
