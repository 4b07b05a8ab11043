"""Image files for tests: ordinary ones, and every kind that goes wrong in the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared_set(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the data set ../shared/data/{name}")
    return folder


def scene(seed: int = 0, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth image; different seeds have fingerprints far apart."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def save(path: Path, image: Image.Image | None = None, **options) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or scene(abs(hash_of(path.name)))).save(path, **options)
    return str(path)


def hash_of(name: str) -> int:
    return sum((place + 1) * ord(letter) for place, letter in enumerate(name))


def torn(path: Path) -> str:
    """A download that broke off."""
    save(path, scene(7, (400, 300)), quality=95)
    path.write_bytes(path.read_bytes()[:-2000])
    return str(path)
