"""OpenVINO in place of ONNX Runtime: the same exported network, in the precision that a predictor computes in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.settings.detector import Precision

_PRECISION: Mapping[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVino:
    """A network on the processor, called as a session of ONNX Runtime is. One pass at a time.

    Args:
        exported: Of `onnx_engine.export_onnx`; not in int8, whose scores OpenVINO 2026.4 gets wrong by up to 0.6.
        precision: What is computed in where the processor has instructions for it; inputs and outputs are float32.
        threads: Of one forward pass.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: It cannot run this network.
    """

    def __init__(self, exported: bytes, precision: Precision, threads: int) -> None:
        core = _openvino().Core()
        hints = {
            "INFERENCE_PRECISION_HINT": _PRECISION[precision],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._request = core.compile_model(core.read_model(exported), "CPU", hints).create_infer_request()
        except RuntimeError as fault:
            raise ValueError(f"Expected a network that OpenVINO can run, got: {fault}") from fault

    def run(self, _names: None, inputs: dict[str, NDArray[np.float32]], /) -> list[NDArray[np.float32]]:
        """All outputs, in their order, for `images`, float32[B, 3, H, W]."""
        self._request.infer(inputs, share_inputs=True)
        # The next pass writes into the same memory.
        return [output.data.copy() for output in self._request.output_tensors]


def _openvino() -> Any:
    """The package, without the one that tells Intel of every import unless somebody has opted out."""
    if find_spec("openvino") is None:
        raise ImportError("Expected the package openvino, found none. `pip install 'crosscheck[openvino]'`")
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
