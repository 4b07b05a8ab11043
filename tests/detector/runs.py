"""Short runs that can be killed and started again."""

from __future__ import annotations

from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from pipeline.progress import silent
from tests.detector.small import detector, plan, weights_of


class Killed(BaseException):
    """What ends a run from outside."""


def kill_at(step):
    def progress(what, done, total):
        if done == step:
            raise Killed

    return progress


class Run:
    """A short run in a folder of its own that can be killed and started again."""

    def __init__(
        self, folder, samples, settings, architecture="retinanet", name="run", evaluate=None, seed=3, network=None
    ):
        self.checkpoints = Folder(folder / name)
        self.samples, self.settings, self.seed = samples, settings, seed
        self.architecture, self.evaluate = architecture, evaluate
        self.network = network or {}
        self.model = None

    def start(self, progress=silent, identity="run"):
        """A fresh process: detector, plan and optimizer are built anew."""
        self.model = self.prepared(detector(self.architecture, settings=self.settings, **self.network))
        spec = RunSpec(self.settings, self.seed, self.checkpoints, identity)
        return fine_tune(self.model, plan(self.samples, self.settings, self.seed), spec, self.evaluate, progress)

    def prepared(self, model):
        return model

    def weights(self):
        return weights_of(self.model)
