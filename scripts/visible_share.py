"""How well a detector with `detector.visible_box` tells what is seen of a box, and what that adds to p(correct).

`scripts/visible_share.py`: draws a set in which clutter hides parts, trains on it, and looks at its test images.
p(correct) is fitted on the other folds of these images, with what the detection tells and no check.
`crosscheck bench evidence --config configs/visible.yaml` adds the checks, once the set is drawn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.bench.evidence import out_of_fold
from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.scenario import Scenario
from pipeline.boxes import as_boxes
from pipeline.dataset.demo import DemoCounts, generate_demo
from pipeline.dataset.visible_boxes import read_visible_boxes
from pipeline.detector.models.visible_box import insets_of, visible_share
from pipeline.records import VISIBLE_SHARE, Sample, Split
from pipeline.selection.held_back import HeldBack
from pipeline.selection.quality import auroc
from pipeline.settings import Settings

COUNTS = DemoCounts(labeled=120, pool=40, val=40, test=80)


class NoChecks:
    """Every proposal stays as it was detected."""

    budget = look_budget = None

    def looks(self, evidence: pa.Table) -> NDArray[np.bool_]:
        """None of them."""
        return np.zeros(len(evidence), dtype=np.bool_)

    def worth(self, evidence: pa.Table) -> NDArray[np.float64]:
        """None of them."""
        return np.full(len(evidence), np.nan)


def main() -> None:
    """Measure one seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/visible.yaml"))
    parser.add_argument("--data", default="data/visible", help="where the set is drawn; the settings name it too")
    parser.add_argument("--root", type=Path, default=Path("runs/bench"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="section.key=value")
    options = parser.parse_args()
    generate_demo(options.data, counts=COUNTS, beside="visible")
    settings = Scenario(options.config, 1, options.seed, options.root, tuple(options.overrides)).settings()
    mining = LabeledMining.trained(settings)
    samples = mining.samples(Split.TEST)
    boxes = mining.with_truth(mining.mine(samples, NoChecks()), samples)
    kinds = {"detection": (), "detection and visible share": (VISIBLE_SHARE,)}
    p_correct = out_of_fold(boxes.known_boxes(settings), settings.selection, mining.model_id, kinds)
    print(
        json.dumps(
            {
                "boxes": len(boxes.right),
                "right": int(boxes.right.sum()),
                "auroc": {kind: auroc(values, boxes.right) for kind, values in p_correct.items()},
                "auroc of the share alone": auroc(boxes.evidence[VISIBLE_SHARE].to_numpy(), boxes.right),
                "share": shares(boxes, settings),
            },
            indent=2,
        )
    )


def shares(boxes: HeldBack, settings: Settings) -> dict[str, float]:
    """How far the share of right boxes is off, and how far the mean true share of them would be."""
    seen = read_visible_boxes(settings.data.sources, Split.TEST)
    true = {sample.image_id: _shares_of(sample, seen.of(sample)) for sample in boxes.samples}
    images = boxes.evidence["image_id"].to_numpy(zero_copy_only=False)[boxes.right]
    wanted = np.array([true[image][row] for image, row in zip(images, boxes.matched[boxes.right], strict=True)])
    told = boxes.evidence[VISIBLE_SHARE].to_numpy()[boxes.right]
    return {
        "boxes that are hidden in part": float((wanted < 0.95).mean()),
        "mean squared error": float(((told - wanted) ** 2).mean()),
        "that of the mean": float(wanted.var()),
        "correlation": float(np.corrcoef(told, wanted)[0, 1]),
        "AUROC of hidden in part": float(auroc(-told, wanted < 0.95) or np.nan),
    }


def _shares_of(sample: Sample, visible: object) -> list[float]:
    boxes = as_boxes([box.xyxy for box in sample.boxes])
    found: list[float] = visible_share(insets_of(boxes, as_boxes(visible))).tolist()
    return found


if __name__ == "__main__":
    main()
