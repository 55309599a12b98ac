"""Write the files beside it as the original does: `python make.py FOLDER NAME`, with PyTorch, once for each numpy.

  numpy1.tar       torch 2.2.2, numpy 1.26.4: marginal_smoothing, K = 5, single precision
  numpy1_half.tar  the same in half precision
  numpy2.tar       torch 2.2.2, numpy 2.2.6: the same numbers as numpy1.tar, under numpy's newer module names
"""
import sys
from pathlib import Path

import numpy as np
import torch

HEIGHT, WIDTH, CLASSES, K = 333, 500, 1000, 5
BOXES = np.array([[0, 0, 333, 500], [17, 211, 120, 160], [250, 3, 83, 97], [1, 499, 332, 1]])       # top, left, height, width
FLIPS = np.array([False, True, True, False])


def labels() -> np.ndarray:
    """float32 [4, 2, K]: row 0 ids, row 1 probabilities, descending."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(len(BOXES), CLASSES)) * 3
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = np.argsort(-probabilities, axis=1)[:, :K]
    return np.stack([ids, np.take_along_axis(probabilities, ids, 1)], 1).astype(np.float32)


def main(folder: str, name: str) -> None:
    kind = np.float16 if name.endswith("_half") else np.float32
    coords = (BOXES / [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(kind)
    torch.save([coords, FLIPS, labels().astype(kind)], Path(folder) / f"{name}.tar")


if __name__ == "__main__":
    main(*sys.argv[1:])
