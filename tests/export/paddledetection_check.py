"""Run by test_paddledetection.py inside an environment with PaddleDetection: what it makes of exported files.

    python paddledetection_check.py names FOLDER...      backbones built from exported YAML, their tensors and feature maps
    python paddledetection_check.py train CONFIG RAW     two steps of a detector, with the config's multipliers and with ones

Prints one line of JSON, the last of its output. Nothing of this project is imported here.
"""
from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import paddle
import yaml
from ppdet.core.workspace import load_config
from ppdet.engine import Trainer
from ppdet.modeling import backbones
from ppdet.utils.checkpoint import load_pretrain_weight, match_state_dict

STEPS = 2
_concat = paddle.concat


def concat_as_it_was(x, axis=0, **options):
    """PaddleDetection 2.6 was written when an element of a vector was a vector of one; now it has no axis to join along."""
    return _concat([tensor.reshape([1]) if tensor.ndim == 0 else tensor for tensor in x], axis, **options)


def check_names(folder: Path) -> dict:
    """How a backbone's own tensors fit those of student_det.pdparams, and what it computes of image.npz."""
    content = yaml.safe_load((folder / "paddledetection.yml").read_text())
    section = next(name for name in ("ResNet", "MobileNetV3") if name in content)
    network = getattr(backbones, section)(**content[section])
    state, found = network.state_dict(), paddle.load(content["pretrain_weights"])
    fitting = [name for name in state if name in found and list(state[name].shape) == list(found[name].shape)]
    load_pretrain_weight(network, content["pretrain_weights"])
    network.eval()
    expected = np.load(folder / "image.npz")
    with paddle.no_grad():
        maps = network({"image": paddle.to_tensor(expected["image"])})
    return {"tensors": len(state), "in_file": len(found), "fitting": len(fitting), "maps": len(maps),
            "difference": float(np.abs(maps[-1].numpy() - expected["last"]).max() / np.abs(expected["last"]).max()),
            "same": bool((maps[-1].numpy() == expected["last"]).all())}


def check_training(config_file: str, raw_file: str) -> dict:
    """What the detector finds in the pretrained file, and how its tensors move."""
    config = load_config(config_file)
    multipliers = list(config["ResNet"]["lr_mult_list"])
    trainer = new_trainer(config, multipliers)
    model = trainer.model
    backbone = [name for name in model.state_dict() if name.startswith("backbone.")]
    found, file = matched(model, config.pretrain_weights), paddle.load(config.pretrain_weights)
    raw = matched(model, raw_file)
    trainer.load_weights(config.pretrain_weights)
    loaded = sum((model.state_dict()[name].numpy() == file[name[len("backbone."):]].numpy()).all() for name in backbone)
    batches = list(trainer.loader)[:STEPS]
    steps, losses = train(trainer, batches)
    ones = new_trainer(config, [1.0] * len(multipliers))
    ones.load_weights(config.pretrain_weights)
    plain, _ = train(ones, batches[:1])
    moved = compare(steps, plain[0], multipliers, config["LearningRate"]["base_lr"])
    return {"backbone": len(backbone), "found": len([name for name in found if name in backbone]), "loaded": int(loaded),
            "raw": len([name for name in raw if name in backbone]), "losses": losses, "multipliers": multipliers,
            "trainable": sum(not p.stop_gradient for name, p in model.named_parameters() if name.startswith("backbone.")),
            "optimizer": type(trainer.optimizer).__name__, "moved": moved}


def new_trainer(config, multipliers) -> Trainer:
    for seed in (paddle.seed, np.random.seed, random.seed):
        seed(0)
    config["ResNet"]["lr_mult_list"] = multipliers
    return Trainer(config, mode="train")


def matched(model, file: str) -> dict:
    return match_state_dict(model.state_dict(), paddle.load(file))


def train(trainer: Trainer, batches: list) -> tuple[list[dict], list[float]]:
    """The ordinary step of PaddleDetection's trainer; tensor -> (weight before, gradient, movement) of each step."""
    trainer.model.train()
    steps, losses = [], []
    for batch in batches:
        loss = trainer.model({**batch, "epoch_id": 0})["loss"]
        loss.backward()
        parameters = {name: p for name, p in trainer.model.named_parameters() if not p.stop_gradient}
        before = {name: p.numpy().copy() for name, p in parameters.items()}
        gradients = {name: p.grad.numpy().copy() for name, p in parameters.items()}
        trainer.optimizer.step()
        trainer.lr.step()
        trainer.optimizer.clear_grad()
        steps.append({name: (before[name], gradients[name], p.numpy() - before[name]) for name, p in parameters.items()})
        losses.append(float(loss))
    return steps, losses


def compare(steps: list[dict], plain: dict, multipliers: list[float], rate: float) -> dict:
    """Of each part of the detector: tensors, and the worst error of a movement, as a share of what float32 may round.

    In every step a tensor must move by -rate x multiplier x gradient; in the first, by multiplier x its movement without
    multipliers, as the same weights have the same gradient there.
    """
    parts: dict = {}
    for name in steps[0]:
        part, factor = part_of(name, multipliers)
        entry = parts.setdefault(part, {"tensors": 0, "factor": factor, "to_gradient": 0.0, "to_ones": 0.0, "ratios": []})
        entry["tensors"] += 1
        for before, gradient, movement in (step[name] for step in steps):
            entry["to_gradient"] = max(entry["to_gradient"], error(movement, -rate * factor * gradient, before))
        movement, without = steps[0][name][2], plain[name][2]
        entry["to_ones"] = max(entry["to_ones"], error(movement, factor * without, steps[0][name][0]))
        if np.abs(without).max() > 1e3 * np.spacing(np.abs(plain[name][0]).max()):
            entry["ratios"].append(float((movement * without).sum() / (without * without).sum()))
    return {part: {**entry, "ratios": [min(entry["ratios"], default=None), max(entry["ratios"], default=None)],
                   "measured": len(entry["ratios"])} for part, entry in parts.items()}


def error(found: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> float:
    """Largest difference, in units of a float32 step at the weight plus a thousandth of what is expected."""
    allowed = 2 * np.spacing(np.abs(weight).astype(np.float32)) + 1e-3 * np.abs(expected) + 1e-12
    return float((np.abs(found - expected) / allowed).max())


def part_of(name: str, multipliers: list[float]) -> tuple[str, float]:
    for stage, factor in zip(("res2", "res3", "res4", "res5"), multipliers):
        if name.startswith(f"backbone.{stage}."):
            return stage, factor
    return ("stem" if name.startswith("backbone.") else "head"), 1.0


if __name__ == "__main__":
    paddle.set_device("cpu")
    paddle.concat = concat_as_it_was
    what, *arguments = sys.argv[1:]
    result = check_training(*arguments) if what == "train" else {name: check_names(Path(name)) for name in arguments}
    print(json.dumps(result))
