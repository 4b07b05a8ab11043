"""Stopping when validation AP no longer rises."""

from __future__ import annotations

from typing import Any

from torch import nn

from pipeline.settings import EarlyStopSettings


class EarlyStop:
    """Remembers the best weights seen and tells when to give up.

    Args:
        settings: How often to look and how long to wait.
    """

    def __init__(self, settings: EarlyStopSettings) -> None:
        self._settings = settings
        self.best_score = float("-inf")
        self.best_weights: dict[str, Any] | None = None
        self._waited = 0

    def is_due(self, steps_done: int) -> bool:
        """Tell whether to evaluate now."""
        return self._settings.enabled and steps_done % self._settings.every_steps == 0

    def update(self, score: float, model: nn.Module) -> bool:
        """Take a score in.

        Args:
            score: Validation AP, higher is better.
            model: Its weights are copied when they are the best so far.

        Returns:
            True when it is time to stop.
        """
        if score > self.best_score:
            self.best_score, self._waited = score, 0
            self.best_weights = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
        else:
            self._waited += 1
        return self._waited >= self._settings.patience

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"score": self.best_score, "weights": self.best_weights, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best_score, self.best_weights, self._waited = state["score"], state["weights"], state["waited"]
