"""Random changes to training images that keep boxes right; the only door to albumentations.

An image is changed in two parts. Its geometry is drawn once, and what it looks like then is the weak view, which a
teacher sees. Colour, blur and holes come after; with them it is the strong view, which the student learns from (arXiv
2102.09480, 2106.09018). So what the teacher finds lies where the student looks for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detector.inference.stream import FILL
from pipeline.detector.training.data.labeled_image import LabeledPixels, cut_to, hide
from pipeline.seeds import derive_seed, numpy_generator
from pipeline.settings import AugmentSettings, StrongViewSettings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for news at import
import albumentations as A  # noqa: N812

HALF_PIXEL = 0.5
"""albumentations counts from the centre of the first pixel, we count from its edge."""
HOLES = 3
HOLE_SIDES = (0.05, 0.2)
"""Of the image's sides."""


class Augmenter:
    """Flips, scale, shift and turn, then colour and blur, drawn from one seed per image.

    Args:
        settings: What may happen and how often.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self._strong = settings.strong
        self._geometry = A.Compose(
            [
                A.HorizontalFlip(p=settings.horizontal_flip),
                A.VerticalFlip(p=settings.vertical_flip),
                A.Affine(
                    scale=(settings.scale_min, settings.scale_max),
                    translate_percent=(-settings.shift, settings.shift),
                    rotate=(-settings.rotate_deg, settings.rotate_deg),
                    keep_ratio=True,
                    fill=FILL,
                    p=0.8,
                ),
            ],
            # Corners travel as points because points beyond the edge survive, boxes would be cut unseen.
            keypoint_params=A.KeypointParams(format="xy", remove_invisible=False),
        )
        self._looks = A.Compose(
            [
                A.RandomBrightnessContrast(p=settings.color),
                A.HueSaturationValue(p=settings.color),
                A.GaussianBlur(blur_limit=(3, 5), p=settings.blur),
            ]
        )
        self._strong_looks = A.Compose(
            [
                A.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=self._strong.color),
                A.ToGray(p=self._strong.gray),
                A.GaussianBlur(blur_limit=(3, 7), sigma_limit=(0.1, 2.0), p=self._strong.blur),
            ]
        )

    def weak(self, item: LabeledPixels, seed: int) -> LabeledPixels:
        """Change an image's geometry.

        Args:
            item: The image; left as it is.
            seed: Same seed, same change.

        Returns:
            The changed image, of the same size. Objects that left it are gone, objects cut to less than
            `MIN_VISIBLE` of their area are ignore regions.
        """
        self._geometry.set_random_seed(seed % 2**32)
        points = item.points().numpy()
        changed: Mapping[str, NDArray[Any]] = self._geometry(image=item.pixels, keypoints=points - HALF_PIXEL)
        moved = torch.as_tensor(np.asarray(changed["keypoints"]), dtype=torch.float32).reshape(-1, 2) + HALF_PIXEL
        return cut_to(np.ascontiguousarray(changed["image"]), item.moved(moved))

    def strong(self, item: LabeledPixels, seed: int, is_pseudo: bool) -> LabeledPixels:
        """Change what an image looks like, strongly where that is set for it.

        Args:
            item: The image; left as it is.
            seed: Same seed, same change.
            is_pseudo: Whether the machine labelled it.

        Returns:
            The changed image, of the same size. Objects of which holes leave less than `MIN_VISIBLE` are ignore
            regions, the others stay where they are.
        """
        strongly = self._strong.enabled and (is_pseudo or self._strong.labeled_too)
        looks = self._strong_looks if strongly else self._looks
        looks.set_random_seed(derive_seed(seed, "looks") % 2**32)
        pixels = np.ascontiguousarray(looks(image=item.pixels)["image"])
        changed = replace(item, pixels=pixels)
        return _with_holes(changed, self._strong, seed) if strongly else changed

    def __call__(self, item: LabeledPixels, seed: int, is_pseudo: bool = False) -> LabeledPixels:
        """Both parts of the change."""
        return self.strong(self.weak(item, seed), seed, is_pseudo)


def _with_holes(item: LabeledPixels, settings: StrongViewSettings, seed: int) -> LabeledPixels:
    """Blank small rectangles (arXiv 1708.04896)."""
    random = numpy_generator(seed, "holes")
    if random.random() >= settings.erase:
        return item
    sides = np.array(item.pixels.shape[1::-1])
    count = random.integers(1, HOLES, endpoint=True)
    spans = np.maximum(1, (random.uniform(*HOLE_SIDES, (count, 2)) * sides).astype(int))
    origins = (random.random((count, 2)) * (sides - spans + 1)).astype(int)
    pixels = item.pixels.copy()
    for (x, y), (width, height) in zip(origins.tolist(), spans.tolist(), strict=True):
        pixels[y : y + height, x : x + width] = FILL
    return hide(item, pixels, torch.from_numpy(np.concatenate([origins, origins + spans], axis=1)))
