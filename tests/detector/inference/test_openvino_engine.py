"""OpenVINO computes what ONNX Runtime does, from the same bytes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from pipeline.detector.inference.onnx_engine import export_onnx, onnx_session
from pipeline.detector.inference.openvino_engine import OpenVino
from tests.detector.small import ARCHITECTURES, detector

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the package openvino")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_are_those_of_onnx_runtime_for_any_shape_and_stay_after_the_next_pass(architecture):
    exported = export_onnx(detector(architecture).eval())
    expected, session = onnx_session(exported, 1), OpenVino(exported, "fp32", 1)
    rng = np.random.default_rng(0)
    batches = [rng.random((count, 3, *sides), np.float32) for count, sides in ((2, (128, 128)), (1, (160, 96)))]
    batches.append(1 - batches[0])
    found = [session.run(None, {"images": images}) for images in batches]
    for images, outputs in zip(batches, found, strict=True):
        for one, other in zip(expected.run(None, {"images": images}), outputs, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * max(1, np.abs(one[np.isfinite(one)]).max()))


def test_what_it_cannot_read_is_refused():
    with pytest.raises(ValueError, match="Expected a network that OpenVINO can run, got: "):
        OpenVino(b"no network", "fp32", 1)


def test_nothing_is_told_of_its_use():
    with pytest.raises(ValueError, match="OpenVINO"):
        OpenVino(b"", "fp32", 1)
    assert sys.modules["openvino_telemetry"] is None
