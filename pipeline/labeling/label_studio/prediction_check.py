"""What the SDK says of a prediction before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from label_studio_sdk.label_interface.interface import LabelInterface


def prediction_checker(label_config: str) -> Callable[[dict[str, Any]], list[str]]:
    """Build the check that a prediction must pass before it is sent.

    The server itself takes unknown labels and drops broken predictions without a word.

    Args:
        label_config: Of the project.

    Returns:
        A function that gives what is wrong with a prediction; an empty list for nothing.
    """
    interface = LabelInterface(label_config)

    def faults(prediction: dict[str, Any]) -> list[str]:
        return [str(fault) for fault in interface.validate_prediction(prediction, return_errors=True)]

    return faults
