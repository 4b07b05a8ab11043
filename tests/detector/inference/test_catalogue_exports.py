"""What settings select can be exported; `export_onnx` itself compares the outputs with torch's."""

from __future__ import annotations

import pytest

from pipeline.detector.inference.onnx_engine import export_onnx
from tests.detector.small import detector

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    "values",
    [
        {"strip_pooling": True},
        {"output_stride": 16},
        {"drop_path": 0.5},
        *({"batch_norm": kind} for kind in ("layer", "instance", "moving_average")),
        {"backbone": "own:shufflenet_v1_x0_5"},
        {"backbone": "own:hetconv_resnet18"},
        {"backbone": "own:binary_resnet18"},
        {"backbone": "torchvision:squeezenet1_1"},
        {"backbone": "torchvision:shufflenet_v2_x0_5"},
    ],
    ids=str,
)
def test_it_is_exported(values):
    assert len(export_onnx(detector(**values).eval())) > 10_000


def test_what_onnx_runtime_cannot_load_is_refused():
    """torch's exporter loses a scale of switchable layers; detection then goes on by torch."""
    with pytest.raises(ValueError, match="Expected a network that ONNX Runtime can run, got: "):
        export_onnx(detector(batch_norm="switchable").eval())
