"""Light on height fields: from the layers of one object to a patch of image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.dataset.demo.relief import SUPERSAMPLING, Layer, Plane

_OPAQUE = 0.5


@dataclass(frozen=True, slots=True)
class Light:
    """One lamp above the bench and what metal mirrors beside it.

    Attributes:
        azimuth: Where the lamp stands, in radians, x to the right and y down.
        elevation: Its height above the bench, in radians.
        ambient: Light from everywhere, as a share of the lamp's.
        strip: Direction, in radians, of a tube lamp that metal mirrors as a streak.
        hardness: 0 = a large soft lamp, 1 = a bare bulb; sharpens shadows and highlights.
    """

    azimuth: float
    elevation: float
    ambient: float
    strip: float
    hardness: float

    @property
    def direction(self) -> NDArray[np.float32]:
        """Unit vector to the lamp, `[3]`, z up from the bench."""
        flat = np.cos(self.elevation)
        parts = [flat * np.cos(self.azimuth), flat * np.sin(self.azimuth), np.sin(self.elevation)]
        return np.array(parts, np.float32)


@dataclass(frozen=True, slots=True)
class Patch:
    """A rendered object in image pixels.

    Attributes:
        color: Linear, already multiplied by `alpha`, `[H, W, 3]`.
        alpha (Plane): share of each pixel that the object covers.
        mask: Pixels that count as the object's: at least half covered, `[H, W]`.
        telling: Those of them by which people know its class, `[H, W]`.
    """

    color: NDArray[np.float32]
    alpha: Plane
    mask: NDArray[np.bool_]
    telling: NDArray[np.bool_]


def render(layers: list[Layer], pixel: float, light: Light, rng: Generator) -> Patch:
    """Light an object and reduce it to image pixels.

    Args:
        layers: At least one, bottom first, all of one shape.
        pixel: Side of a fine pixel in units of the object's frame.
        light: The lamp.
        rng: Drives tilt, blotches and scratches.

    Returns:
        The patch, trimmed to what the object covers.
    """
    window = _bounds(layers)
    layers = [_cut(layer, window) for layer in layers]
    height, width = (side // SUPERSAMPLING for side in layers[0].coverage.shape)
    color = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    telling = np.zeros((height, width), np.float32)
    lean = rng.normal(0, 0.06, 2)
    for layer in layers:
        body, glint = _light_layer(layer, pixel, light, lean, rng)
        cover = _reduce(layer.coverage)
        color *= (1 - cover)[..., None]
        color += _reduce(body * layer.coverage)[..., None] * np.array(layer.material.color, np.float32)
        color += _reduce(glint * layer.coverage)[..., None]
        alpha += cover * (1 - alpha)
        telling += cover * (layer.telling - telling)
    mask = alpha >= _OPAQUE
    return Patch(color, alpha, mask, mask & (telling >= _OPAQUE))


def value_noise(shape: tuple[int, ...], cells: tuple[int, int], rng: Generator) -> Plane:
    """Smooth noise with mean 0 and values between -1 and 1.

    Args:
        shape: Rows and columns of the result.
        cells: Rows and columns of random values that are spread over it.
        rng: Source of the values.

    Returns:
        Plane: float32.
    """
    coarse = rng.uniform(-1, 1, cells).astype(np.float32)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC).clip(-1, 1)


def _bounds(layers: list[Layer]) -> tuple[slice, slice]:
    """The fine pixels, in whole image pixels, that hold everything."""
    covered = np.maximum.reduce([layer.coverage for layer in layers]) > 0
    rows, columns = (np.flatnonzero(covered.any(axis)) // SUPERSAMPLING for axis in (1, 0))
    spans = [slice(index[0] * SUPERSAMPLING, (index[-1] + 1) * SUPERSAMPLING) for index in (rows, columns)]
    return spans[0], spans[1]


def _cut(layer: Layer, window: tuple[slice, slice]) -> Layer:
    shade = layer.shade if isinstance(layer.shade, float) else layer.shade[window]
    return replace(layer, coverage=layer.coverage[window], height=layer.height[window], shade=shade)


def _light_layer(
    layer: Layer, pixel: float, light: Light, lean: NDArray[np.float64], rng: Generator
) -> tuple[Plane, Plane]:
    material = layer.material
    surface = cv2.GaussianBlur((layer.height / pixel).astype(np.float32), (0, 0), 0.35 * SUPERSAMPLING)
    uneven_x, uneven_y = (np.float32(0.16) * value_noise(surface.shape, (4, 4), rng) + np.float32(by) for by in lean)
    nx = uneven_x - cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    ny = uneven_y - cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    nz = 1 / np.sqrt(1 + nx * nx + ny * ny)
    nx, ny = nx * nz, ny * nz
    lx, ly, lz = light.direction
    diffuse = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    half = light.direction + np.array([0, 0, 1], np.float32)
    hx, hy, hz = half / np.linalg.norm(half)
    sharpness = np.float32(4 + 60 * material.gloss * (0.4 + light.hardness))
    glint = np.maximum(nx * hx + ny * hy + nz * hz, 0) ** sharpness * np.float32(material.gloss)
    shade = layer.shade * _blotches(layer.coverage.shape, material.wear, material.grain, rng)
    if material.metallic:
        body = _mirror(nx, ny, nz, light) + diffuse * np.float32(0.12)
        return body * shade, glint * shade * np.float32(0.7)
    return (light.ambient + diffuse * np.float32(0.85)) * shade, glint * shade * np.float32(0.25)


def _mirror(nx: Plane, ny: Plane, nz: Plane, light: Light) -> Plane:
    """Brightness of the room in the direction that a metal surface mirrors to the camera."""
    rx, ry, rz = 2 * nx * nz, 2 * ny * nz, 2 * nz * nz - 1
    toward = rx * np.float32(np.cos(light.azimuth)) + ry * np.float32(np.sin(light.azimuth))
    along = rx * np.float32(np.cos(light.strip)) + ry * np.float32(np.sin(light.strip))
    room = np.float32(0.04) + light.ambient * np.clip(0.3 + 0.7 * rz, 0, 1) * np.float32(0.6)
    lamp = np.clip(0.42 + 0.75 * toward, 0, 1.1) ** 2 * np.float32(1.1)
    streak: Plane = np.exp(-np.square((along - np.float32(0.35)) / np.float32(0.16))) * np.float32(0.55)
    return room + lamp + streak * (rz > 0)


def _blotches(shape: tuple[int, ...], wear: float, grain: float, rng: Generator) -> Plane:
    cells = max(3, shape[0] // 24)
    level = 1 + np.float32(wear) * value_noise(shape, (cells, cells), rng)
    if grain:
        level += np.float32(grain) * value_noise(shape, (max(3, shape[0] // 2), max(3, shape[1] // 9)), rng)
    return level


def _reduce(plane: Plane) -> Plane:
    height, width = (side // SUPERSAMPLING for side in plane.shape)
    reduced = cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return reduced.astype(np.float32, copy=False)
