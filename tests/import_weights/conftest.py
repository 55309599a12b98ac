from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def seeded():
    """The recipe of weights that make_references.py used as well."""
    spec = importlib.util.spec_from_file_location("seeded", HERE / "seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def references() -> dict:
    """name -> size of the pictures, logits, names and shapes; see make_references.py."""
    return json.loads((HERE / "references.json").read_text())


@pytest.fixture(scope="session")
def files() -> Path:
    """The files that make_references.py wrote with torch.save and safetensors."""
    return HERE / "files"


@pytest.fixture(scope="session")
def real_shapes():
    """Names and shapes of a timm network's tensors: real_shapes("resnet50")."""
    def read(name: str) -> dict[str, tuple[int, ...]]:
        lines = [line.split(" ") for line in (HERE / "real" / f"{name}.txt").read_text().splitlines()]
        return {tensor: tuple(int(side) for side in shape.split("x") if side) for tensor, shape in lines}
    return read


@pytest.fixture(scope="session")
def make_safetensors():
    """Writes name -> float32 array as a safetensors file."""
    def make(file: Path, tensors: dict) -> Path:
        header, at = {}, 0
        for name, array in tensors.items():
            header[name] = {"dtype": "I64" if array.dtype.kind == "i" else "F32", "shape": list(array.shape),
                            "data_offsets": [at, at + array.nbytes]}
            at += array.nbytes
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in tensors.values()))
        return file
    return make
