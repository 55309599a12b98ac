"""The ONNX files of an export say what its static model says."""
from __future__ import annotations

import json

import pytest

from ssld.export.run import export
from ssld.predict.run import predict

for package in ("paddle2onnx", "onnxruntime"):
    pytest.importorskip(package)


def test_onnx_files_answer_by_their_name_and_by_the_engine(trained, tmp_path):
    config, pictures, _ = trained
    export(config, str(tmp_path / "exported"), also=["onnx", "int8"])
    tops = {}
    for name, place, engine in (("static", "", "auto"), ("engine", "", "onnx"), ("file", "student.onnx", "auto"),
                                ("int8", "student_int8.onnx", "auto")):
        predict(str(tmp_path / "exported" / place), [str(pictures)], topk=4, out=str(tmp_path / f"{name}.json"), engine=engine)
        tops[name] = [entry["top"] for entry in json.loads((tmp_path / f"{name}.json").read_text())]
    assert tops["engine"] == tops["file"]
    for one, other in zip(tops["static"], tops["file"]):
        assert [guess["probability"] for guess in one] == pytest.approx([guess["probability"] for guess in other], abs=1e-4)
    assert sum(a[0]["class"] == b[0]["class"] for a, b in zip(tops["static"], tops["int8"])) >= 7
