"""ONNX Runtime in place of torch for what a detector computes at every pixel: body, pyramid and one-stage heads.

On processors it takes two thirds of torch's time in float32 for the same answers, and half of it in int8. Anchors,
suppression and embeddings stay torch's, so that all code above `Predictor` is the same whatever runs below it.
"""

from __future__ import annotations

import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.detector.models.detector import Detector

OPSET = 17
TOLERANCE = 1e-3
"""Largest difference of float32 outputs from torch's, as a share of the largest output."""
_EXAMPLE_PX, _OTHER_PX = 128, (160, 96)
_PREDICTORS = re.compile("cls_logits|bbox_reg|bbox_ctrness|bbox_pred|cls_score")


def is_installed() -> bool:
    """Whether detectors can be exported and run."""
    return all(find_spec(name) for name in ("onnx", "onnxruntime"))


def export_onnx(detector: Detector) -> bytes:
    """Write the dense part of a detector as an ONNX model.

    Args:
        detector: On the CPU, in evaluation mode.

    Returns:
        A model that takes `images`, float32[B, 3, H, W] normalised, and gives pyramid levels and head outputs by name.

    Raises:
        ValueError: The network cannot be exported, or its outputs differ from torch's.
    """
    dense = _Dense(detector).eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder, "network.onnx")
        try:
            torch.onnx.export(
                dense,
                (torch.rand(2, 3, _EXAMPLE_PX, _EXAMPLE_PX),),
                str(path),
                input_names=["images"],
                output_names=dense.names,
                dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}},
                opset_version=OPSET,
                dynamo=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as fault:
            raise ValueError(f"Expected a network that ONNX can express, got: {fault}") from fault
        exported = path.read_bytes()
        # Other sides and another batch than the example's, so that nothing of it was taken for a constant.
        images = torch.rand(1, 3, *_OTHER_PX)
        for name, expected, got in zip(dense.names, dense(images), _run(_runnable(exported), images), strict=True):
            finite = torch.isfinite(expected)
            gap = (expected - got)[finite].abs().max() / expected[finite].abs().max()
            if gap > TOLERANCE:
                raise ValueError(f"Expected the same {name} from ONNX Runtime as from torch, they differ by {gap:.2g}")
    return exported


def quantize_onnx(exported: bytes, images: Sequence[NDArray[np.float32]]) -> bytes:
    """Turn the convolutions of an exported network into int8, all but the first and those that give the answers.

    These few cost little and lose most: on the demo set they took mAP from 0.433 to 0.410.

    Args:
        exported: Of `export_onnx`.
        images: float32[3, H, W] each, normalised, from which the ranges of values are taken.

    Returns:
        The model; its inputs and outputs stay float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images: Iterator[NDArray[np.float32]] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self._images, None)
            return None if image is None else {"images": image[None]}

    with tempfile.TemporaryDirectory() as folder:
        before, ready, after = (Path(folder, f"{name}.onnx") for name in ("before", "ready", "after"))
        before.write_bytes(exported)
        quant_pre_process(str(before), str(ready), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(str(ready)).graph.node if node.op_type == "Conv"]
        quantize_static(
            str(ready),
            str(after),
            Images(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[name for name in convolutions if name == convolutions[0] or _PREDICTORS.search(name)],
        )
        return after.read_bytes()


def use_onnx(detector: Detector, exported: bytes, threads: int) -> None:
    """Run the dense part of a detector by ONNX Runtime from now on; it can no longer learn.

    Args:
        detector: Changed in place.
        exported: Of `export_onnx` or `quantize_onnx`.
        threads: Of one forward pass.
    """
    dense = _Dense(detector).eval()
    backbone = _SessionBackbone(_session(exported, threads), dense)
    detector.replace_backbone(backbone)
    if dense.head is not None:
        detector.network.head = _SessionHead(backbone)


class _Dense(nn.Module):
    """What is exported: the backbone and, of a one-stage detector, the head.

    Attributes:
        names: Of the outputs: pyramid levels, then those of the head.
        levels: How many of them are levels.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        network: Any = detector.network
        self.backbone = network.backbone
        self.head = getattr(network, "head", None)
        with torch.inference_mode():
            levels, outputs = self._compute(torch.zeros(1, 3, _EXAMPLE_PX, _EXAMPLE_PX))
        self.level_names, self.head_names = list(levels), list(outputs)

    @property
    def names(self) -> list[str]:
        return [*(f"level_{name}" for name in self.level_names), *self.head_names]

    def _compute(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        levels = self.backbone(images)
        return levels, self.head(list(levels.values())) if self.head is not None else {}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        levels, outputs = self._compute(images)
        return (*levels.values(), *outputs.values())


class _SessionBackbone(nn.Module):
    """Gives the pyramid, and keeps what the head gives for `_SessionHead`."""

    def __init__(self, session: Any, dense: _Dense) -> None:
        super().__init__()
        self._session, self._levels, self._outputs = session, dense.level_names, dense.head_names
        self.out_channels: int = dense.backbone.out_channels
        self.answered: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        values = _run(self._session, images)
        count = len(self._levels)
        self.answered = dict(zip(self._outputs, values[count:], strict=True))
        return OrderedDict(zip(self._levels, values[:count], strict=True))


class _SessionHead(nn.Module):
    """Gives what the head has given in the same pass as the backbone."""

    hard_background: tuple[Tensor, ...] = ()

    def __init__(self, backbone: _SessionBackbone) -> None:
        super().__init__()
        self._answered = backbone.__dict__

    def forward(self, _features: list[Tensor]) -> dict[str, Tensor]:
        answered: dict[str, Tensor] = self._answered["answered"]
        return answered


def _session(exported: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Group normalisation hides the sides of its maps, which ONNX Runtime then takes for those of other levels.
    options.enable_mem_reuse = False
    return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])


def _runnable(exported: bytes) -> Any:
    try:
        return _session(exported, 1)
    except Exception as fault:  # ONNX Runtime raises a dozen kinds for models that it cannot load
        raise ValueError(f"Expected a network that ONNX Runtime can run, got: {fault}") from fault


def _run(session: Any, images: Tensor) -> list[Tensor]:
    values = session.run(None, {"images": images.contiguous().numpy()})
    return [torch.from_numpy(value) for value in values]
