"""Images from any storage: what they are, and their pixels as a person sees them.

Every image is shown the way a browser shows it to an annotator: EXIF rotation applied, 16-bit grey scaled over its
full range, transparent parts on white, the first frame of an animation. Safe to call from many threads.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.dataset.orientation import displayed_image, displayed_size
from pipeline.errors import ImageFault
from pipeline.object_storage import files_at, reaching
from pipeline.records import ImageRef

LARGE_PIXELS = 25_000_000
"""Images from this size on are named in the import's report."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_HASH_SIDE = 16
_THREADS = 8
_DRAFT_GAP = 2.0

# What Pillow warns about is either harmless or found by decoding; the filter is set once because
# `warnings.catch_warnings` is not safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image is.

    Attributes:
        image_id: SHA-256 of the file's bytes, 64 hex digits.
        width: Pixels, as a person sees it.
        height: Pixels, as a person sees it.
        raw_width: Pixels, as stored, before EXIF rotation.
        raw_height: Pixels, as stored, before EXIF rotation.
        orientation: EXIF orientation, 1 to 8.
        fingerprint: 256-bit difference hash of the displayed image, 64 hex digits.
        notes: What is unusual about it, in words: conversions, rotation, great size.
    """

    image_id: str
    width: int
    height: int
    raw_width: int
    raw_height: int
    orientation: int
    fingerprint: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """Pixels as a person sees them.

    Attributes:
        pixels: uint8[H, W, 3], RGB.
        width: Width of the original as displayed; differs from W where the image was scaled.
        height: Height of the original as displayed.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def inspect_image(uri: str, max_pixels: int) -> ImageFacts:
    """Read a file once and find out all about it; every pixel is decoded, so that a torn file is found.

    Args:
        uri: Path or fsspec URI.
        max_pixels: An image with more is refused before it is decoded.

    Returns:
        Its facts.

    Raises:
        ImageFault: There is no such file, or it is empty, torn, no image or too large. The fault carries the
            `image_id` where there are bytes.
        RemoteError: The storage cannot be reached.
    """
    data = _read_bytes(uri)
    with _explained(uri, data), _opened(data, max_pixels) as image:
        orientation, notes = _orientation(image)
        image.load()
        shown, conversions = _as_rgb(image)
        # Pillow has turned a TIFF already when it is loaded.
        turn = 1 if image.format == "TIFF" else orientation
        width, height = displayed_size(*shown.size, turn)
        raw_width, raw_height = displayed_size(width, height, orientation)
        return ImageFacts(
            image_id=hashlib.sha256(data).hexdigest(),
            width=width,
            height=height,
            raw_width=raw_width,
            raw_height=raw_height,
            orientation=orientation,
            fingerprint=_fingerprint(shown, turn),
            notes=(*notes, *conversions, *_size_note(width * height)),
        )


def file_id(uri: str) -> str:
    """The `image_id` of what a file holds now.

    Args:
        uri: Path or fsspec URI.

    Returns:
        SHA-256 of its bytes, 64 hex digits.

    Raises:
        ImageFault: There is no such file, or it cannot be opened.
        RemoteError: The storage cannot be reached.
    """
    return hashlib.sha256(_read_bytes(uri)).hexdigest()


def unchanged_images(refs: list[ImageRef]) -> list[ImageRef]:
    """Of some images, those whose files still hold the bytes that were imported; their pixels are not decoded.

    Raises:
        RemoteError: The storage cannot be reached.
    """

    def is_unchanged(ref: ImageRef) -> bool:
        try:
            return file_id(ref.uri) == ref.image_id
        except ImageFault:
            return False

    with ThreadPoolExecutor(_THREADS) as pool:
        return [ref for ref, same in zip(refs, pool.map(is_unchanged, refs), strict=True) if same]


def read_image(
    uri: str, max_pixels: int, longest_side_px: int | None = None, image_id: str | None = None
) -> LoadedImage:
    """Read an image as a person sees it, at a given size.

    Args:
        uri: Path or fsspec URI.
        max_pixels: An image with more is refused before it is decoded.
        longest_side_px: Length of the longer side of the result: a larger image is scaled down with
            antialiasing, a smaller one is scaled up. None keeps the original size.
        image_id: What the file must hold, see `file_id`; None reads whatever it holds.

    Returns:
        The image. Aspect ratio is kept to the nearest pixel, no side is under 1.

    Raises:
        ImageFault: There is no such file, it was replaced, or it is empty, torn, no image or too large.
        RemoteError: The storage cannot be reached.
    """
    data = _read_bytes(uri)
    _require_same(uri, data, image_id)
    with _explained(uri, data), _opened(data, max_pixels) as image:
        orientation, _ = _orientation(image)
        raw_size = image.size
        size = raw_size if longest_side_px is None else _fitted(raw_size, longest_side_px)
        box = _draft(image, size)
        image.load()
        shown, _ = _as_rgb(image)
        if shown.size != size:
            shown = shown.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=_DRAFT_GAP)
        turn = 1 if image.format == "TIFF" else orientation
        width, height = displayed_size(*raw_size, turn)
        return LoadedImage(np.array(displayed_image(shown, turn)), width, height)


def _read_bytes(uri: str) -> bytes:
    files, path = files_at(uri)
    try:
        with reaching(uri):
            return cast(bytes, files.cat_file(path))
    except FileNotFoundError as fault:
        raise ImageFault(uri, "no such file") from fault
    except OSError as fault:
        raise ImageFault(uri, f"cannot be opened: {fault.strerror or fault}") from fault


def _require_same(uri: str, data: bytes, image_id: str | None) -> None:
    now = hashlib.sha256(data).hexdigest() if image_id is not None else None
    if now != image_id:
        raise ImageFault(uri, f"was replaced: expected the imported bytes {image_id:.12}, got {now:.12}", now)


@contextmanager
def _explained(uri: str, data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises (a dozen kinds of exception) into a fault that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as fault:
        reason = str(fault) or type(fault).__name__
        raise ImageFault(uri, reason, hashlib.sha256(data).hexdigest()) from fault


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    if not data:
        raise ValueError("zero bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as fault:
        raise ValueError(f"not an image: none of {', '.join(_FORMATS)}") from fault
    with image:
        pixels = image.width * image.height
        if pixels > max_pixels:
            raise ValueError(f"{pixels:,} pixels, over the limit of {max_pixels:,} pixels")
        yield image


def _orientation(image: Image.Image) -> tuple[int, list[str]]:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as fault:  # a torn EXIF block raises as many kinds as a torn image, and its pixels are fine
        return 1, [f"unreadable EXIF block passed over ({type(fault).__name__})"]
    if orientation not in range(2, 9):
        return 1, []
    return int(orientation), [f"rotated by EXIF orientation {orientation}"]


def _as_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image, []
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image).convert("RGB"), ["converted from 16-bit grey"]
    if image.mode == "F":
        raise ValueError("floating-point pixels have no set range to show them in; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    notes = [] if image.mode in {"L", "P", "1"} else [f"converted from {image.mode}"]
    return image.convert("RGB"), notes


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255; Pillow's own conversion cuts everything above 255."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65_535:
        raise ValueError(f"pixel values {values.min()} to {values.max()}, expected 0 to 65535; save it with 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> tuple[Image.Image, list[str]]:
    lowest, _ = cast(tuple[int, int], image.getchannel("A").getextrema())
    if lowest == 255:
        return image.convert("RGB"), []
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB"), ["transparent parts shown on white"]


def _size_note(pixels: int) -> list[str]:
    return [f"{pixels / 1e6:.1f} megapixels"] if pixels >= LARGE_PIXELS else []


def _fingerprint(image: Image.Image, orientation: int) -> str:
    # On the whole image: hashing a quick coarse copy moves more bits than saving the image at another size does.
    shown = displayed_image(image.convert("L"), orientation)
    return str(imagehash.dhash(shown, hash_size=_HASH_SIDE))


def _fitted(size: tuple[int, int], longest_side_px: int) -> tuple[int, int]:
    scale = longest_side_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _draft(image: Image.Image, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Let the JPEG decoder shrink by 2, 4 or 8 while it decodes.

    Returns:
        The part of the shrunken image that holds the original: its last column and row may be filled up.
    """
    wanted = (int(size[0] * _DRAFT_GAP), int(size[1] * _DRAFT_GAP))
    drafted = image.draft(None, wanted)
    return drafted[1] if drafted else None
