"""From linear light to a JPEG: lamp falloff, lens, white balance, sensor noise, compression."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from pipeline.dataset.demo.bench import Canvas
from pipeline.dataset.demo.relief import Plane
from pipeline.dataset.demo.shading import Light, value_noise

Pixels = NDArray[np.uint8]
"""An image as it is stored, `[height, width, 3]`, sRGB."""


def photograph(canvas: Canvas, light: Light, harshness: float, rng: Generator) -> Pixels:
    """Take an image.

    Args:
        canvas: Linear light under an even lamp.
        light: The lamp; its falloff follows its azimuth.
        harshness: Strength of falloff, color cast, blur and noise, 0 to 1.
        rng: Drives everything.

    Returns:
        What the camera stores before compression.
    """
    height, width = canvas.shape[:2]
    lit = canvas * _falloff(height, width, light, harshness, rng)[..., None]
    lit *= np.exp(rng.normal(0, 0.02 + 0.11 * harshness, 3)).astype(np.float32)
    lit *= np.float32(np.clip(0.22 / lit.mean(), 0.6, 1.8) * np.exp(rng.normal(0, 0.1 + 0.2 * harshness)))
    sharp = cv2.GaussianBlur(lit, (0, 0), 0.35 + min(rng.exponential(0.1 + 0.4 * harshness), 1.3))
    grain = rng.standard_normal(sharp.shape, np.float32)
    noise = np.float32(rng.uniform(0.002, 0.006 + 0.04 * harshness))
    noisy = sharp + grain * noise * np.sqrt(np.clip(sharp, 0, 1) + np.float32(0.02))
    return _tone(noisy)


def compress(pixels: Pixels, quality: int) -> bytes:
    """Encode as JPEG; the same pixels give the same bytes.

    Args:
        pixels: The image.
        quality: 1 to 95, as Pillow has it.

    Returns:
        The file.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling=2, optimize=False)
    return file.getvalue()


def _falloff(height: int, width: int, light: Light, harshness: float, rng: Generator) -> Plane:
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    toward = columns * np.float32(np.cos(light.azimuth)) + rows * np.float32(np.sin(light.azimuth))
    slope = np.exp(toward * np.float32(rng.uniform(0.05, 0.15 + 0.7 * harshness)))
    vignette = 1 - np.float32(rng.uniform(0, 0.1 + 0.3 * harshness)) * (rows**2 + columns**2) / 2
    uneven = 1 + np.float32(0.35 * harshness) * value_noise((height, width), (3, 4), rng)
    falloff: Plane = slope * vignette * uneven
    return falloff


def _tone(light: NDArray[np.float32]) -> Pixels:
    """Roll highlights off and encode for a display."""
    rolled = np.where(light < 0.7, light, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.6))
    encoded = np.power(np.clip(rolled, 0, 1), 1 / 2.2)
    encoded += 0.55 * encoded * (1 - encoded) * (encoded - 0.5)
    pixels: Pixels = np.round(encoded * 255).astype(np.uint8)
    return pixels
