import contextlib
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.dataset.images import inspect_image, read_image
from pipeline.errors import ImageFault, RemoteError
from tests.dataset.images import exif, save, scene, torn

LIMIT = 10_000_000


def facts_and_image(uri, **options):
    return inspect_image(uri, LIMIT), read_image(uri, LIMIT, **options)


def test_an_ordinary_photo(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1))
    facts, image = facts_and_image(uri)
    assert facts.image_id == hashlib.sha256(Path(uri).read_bytes()).hexdigest()
    assert (facts.width, facts.height, facts.raw_width, facts.raw_height, facts.orientation) == (64, 48, 64, 48, 1)
    assert facts.notes == ()
    assert image.pixels.shape == (48, 64, 3)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.writeable
    assert np.array_equal(image.pixels, np.asarray(Image.open(uri)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_rotation_is_applied(tmp_path, orientation, suffix):
    stored = Image.new("RGB", (48, 32))
    stored.paste("white", (8, 16, 16, 24))
    options = {"quality": 100} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    uri = save(tmp_path / f"a.{suffix}", stored, exif=exif(orientation), **options)
    facts, image = facts_and_image(uri)
    assert facts.orientation == orientation
    assert (facts.raw_width, facts.raw_height) == (48, 32)
    assert (facts.width, facts.height) == ((48, 32) if orientation < 5 else (32, 48))
    assert (image.width, image.height) == (facts.width, facts.height)
    rows, columns = np.nonzero(image.pixels[..., 0] > 128)
    places = {
        1: (8, 16), 2: (32, 16), 3: (32, 8), 4: (8, 8), 5: (16, 8), 6: (8, 8), 7: (8, 32), 8: (16, 32),
    }  # fmt: skip
    assert (columns.min(), rows.min()) == places[orientation]
    assert len(rows) == 64
    assert any("rotated" in note for note in facts.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(tmp_path, orientation):
    uri = save(tmp_path / "a.jpg", scene(1), exif=exif(orientation))
    assert inspect_image(uri, LIMIT).orientation == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_pixels_survive_a_torn_exif_block(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    facts, image = facts_and_image(uri)
    assert facts.orientation == 1
    assert image.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("name", "image", "options", "note"),
    [
        ("grey.jpg", scene(2).convert("L"), {}, None),
        ("one_bit.png", scene(2).convert("1"), {}, None),
        ("palette.png", scene(2).convert("P"), {}, None),
        ("opaque.png", scene(2).convert("RGBA"), {}, None),
        ("cmyk.jpg", scene(2).convert("CMYK"), {}, "converted from CMYK"),
        ("lab.tif", scene(2).convert("LAB"), {}, "converted from LAB"),
        ("frames.gif", scene(2), {"save_all": True, "append_images": [scene(3)]}, None),
        ("deep.png", Image.fromarray(np.full((48, 64), 65_535, np.uint16)), {}, "converted from 16-bit grey"),
        ("deep.tif", Image.fromarray(np.full((48, 64), 40_000, np.uint16)), {}, "converted from 16-bit grey"),
        ("deep.pgm", Image.fromarray(np.full((48, 64), 40_000, np.int32)), {}, "converted from 16-bit grey"),
        ("holes.png", Image.new("RGBA", (64, 48), (255, 0, 0, 0)), {}, "transparent parts shown on white"),
        ("large.jpg", Image.new("L", (6000, 5000)), {}, "30.0 megapixels"),
    ],
)
def test_every_kind_becomes_rgb(tmp_path, name, image, options, note):
    uri = save(tmp_path / name, image, **options)
    facts, loaded = inspect_image(uri, 40_000_000), read_image(uri, 40_000_000)
    assert (facts.width, facts.height) == image.size
    assert loaded.pixels.shape == (image.height, image.width, 3)
    assert facts.notes == (() if note is None else (note,))


def test_sixteen_bits_are_scaled_and_not_cut(tmp_path):
    ramp = np.linspace(0, 65_535, 256).round().astype(np.uint16)[None].repeat(4, 0)
    image = read_image(save(tmp_path / "ramp.png", Image.fromarray(ramp)), LIMIT)
    assert image.pixels[0, :, 0].tolist() == list(range(256))


def test_transparent_parts_are_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 255, 255))
    pixels = read_image(save(tmp_path / "a.png", image), LIMIT).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [0, 0, 255]


def test_a_transparent_palette_colour_is_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((2, 2), 1)
    pixels = read_image(save(tmp_path / "a.png", image, transparency=0), LIMIT).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[2, 2].tolist() == [9, 9, 9]


def test_the_first_frame_counts(tmp_path):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    uri = save(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert read_image(uri, LIMIT).pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("make", "reason", "has_bytes"),
    [
        (lambda folder: str(folder / "none.jpg"), "no such file", False),
        (lambda folder: str(folder), "cannot be opened", False),
        (lambda folder: _write(folder / "empty.jpg", b""), "zero bytes", True),
        (lambda folder: _write(folder / "text.jpg", b"<html>404</html>"), "not an image", True),
        (
            lambda folder: _write(folder / "head.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
            "not an image|[Tt]runcated",
            True,
        ),
        (lambda folder: torn(folder / "torn.jpg"), "truncated", True),
        (lambda folder: _cut(folder / "torn.png"), "truncated|unrecognized", True),
        (
            lambda folder: save(folder / "big.png", Image.new("1", (5000, 2001))),
            "10,005,000 pixels, over the limit of 10,000,000 pixels",
            True,
        ),
        (lambda folder: save(folder / "f.tif", Image.new("F", (8, 8))), "floating-point", True),
        (lambda folder: save(folder / "i.tif", Image.new("I", (8, 8), -5)), "expected 0 to 65535", True),
    ],
)
def test_a_bad_image_is_a_fault_that_names_it(tmp_path, make, reason, has_bytes):
    uri = make(tmp_path)
    for read in (inspect_image, read_image):
        with pytest.raises(ImageFault, match=reason) as caught:
            read(uri, LIMIT)
        assert caught.value.uri == uri
        expected = hashlib.sha256(Path(uri).read_bytes()).hexdigest() if has_bytes else None
        assert caught.value.image_id == expected


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    uri = save(tmp_path / "bomb.png", Image.new("1", (14_000, 13_000)))
    with pytest.raises(ImageFault, match="bomb"):
        inspect_image(uri, 10**12)


def test_storage_that_is_down_is_no_bad_image(monkeypatch):
    def down(self, path, **_):
        raise ConnectionError("no route")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", down)
    with pytest.raises(RemoteError, match=r"memory://a\.jpg: the storage refuses"):
        read_image("memory://a.jpg", LIMIT)


def test_remote_images_are_read(tmp_path):
    uri = save(tmp_path / "a.jpg", scene(1))
    MemoryFileSystem().pipe("/a.jpg", Path(uri).read_bytes())
    assert inspect_image("memory://a.jpg", LIMIT) == inspect_image(uri, LIMIT)
    with pytest.raises(ImageFault, match="no such file"):
        inspect_image("memory://b.jpg", LIMIT)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(["jpg", "png", "gif", "tif", "webp", "bmp"]),
    cut=st.floats(0, 1),
    noise=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
)
def test_damaged_bytes_give_an_image_or_a_fault(tmp_path, suffix, cut, noise):
    path = tmp_path / f"a.{suffix}"
    scene(5, (40, 30)).save(path)
    data = bytearray(path.read_bytes())
    for place, value in noise:
        data[int(place * (len(data) - 1))] = value
    path.write_bytes(data[: int(cut * len(data))])
    for read in (inspect_image, read_image):
        with contextlib.suppress(ImageFault):
            read(str(path), LIMIT)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((640, 480), None, (480, 640)),
        ((640, 480), 320, (240, 320)),
        ((480, 640), 320, (320, 240)),
        ((3000, 2000), 300, (200, 300)),
        ((64, 48), 320, (240, 320)),
        ((1001, 333), 125, (42, 125)),
        ((2000, 3), 100, (1, 100)),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_longest_side_is_as_asked_up_and_down(tmp_path, size, longest, expected, suffix):
    uri = save(tmp_path / f"a.{suffix}", scene(4, size))
    image = read_image(uri, LIMIT, longest)
    assert image.pixels.shape == (*expected, 3)
    assert (image.width, image.height) == size


@pytest.mark.parametrize("size", [(2400, 1800), (2399, 1801)])
def test_a_quick_decode_shows_the_same_as_a_full_one(tmp_path, size):
    uri = save(tmp_path / "a.jpg", scene(6, size), quality=95)
    quick = read_image(uri, LIMIT, 150).pixels.astype(int)
    full = np.asarray(Image.open(uri).resize(quick.shape[1::-1], Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(quick - full).max() <= 6


def test_scaling_down_averages(tmp_path):
    fine = np.indices((400, 400)).sum(0) % 2 * 255
    uri = save(tmp_path / "a.png", Image.fromarray(fine.astype(np.uint8)))
    pixels = read_image(uri, LIMIT, 100).pixels
    assert pixels.min() > 100
    assert pixels.max() < 155


def test_a_rotated_photo_is_scaled_like_an_upright_one(tmp_path):
    upright = scene(8, (300, 400))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    one = read_image(save(tmp_path / "a.png", upright), LIMIT, 100)
    other = read_image(save(tmp_path / "b.png", turned, exif=exif(6)), LIMIT, 100)
    assert (other.width, other.height) == (300, 400)
    assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1


def test_fingerprints_tell_scenes_apart_and_forgive_encoding(tmp_path):
    def bits(one, other):
        return imagehash.hex_to_hash(one) - imagehash.hex_to_hash(other)

    image = scene(9, (640, 480))
    first = inspect_image(save(tmp_path / "a.png", image), LIMIT).fingerprint
    again = inspect_image(save(tmp_path / "b.jpg", image.resize((500, 375)), quality=70), LIMIT).fingerprint
    turned = image.transpose(Image.Transpose.ROTATE_90)
    rotated = inspect_image(save(tmp_path / "c.png", turned, exif=exif(6)), LIMIT).fingerprint
    other = inspect_image(save(tmp_path / "d.png", scene(10, (640, 480))), LIMIT).fingerprint
    assert len(first) == 64
    assert bits(first, again) <= 5
    assert bits(first, rotated) <= 2
    assert bits(first, other) > 50


def test_many_threads_read_what_one_reads(tmp_path):
    kinds = [("a.jpg", {}), ("b.png", {}), ("c.tif", {}), ("d.webp", {}), ("e.gif", {}), ("f.jpg", {"exif": exif(6)})]
    uris = [save(tmp_path / name, scene(number), **options) for number, (name, options) in enumerate(kinds)] * 10
    alone = [facts_and_image(uri, longest_side_px=40) for uri in uris]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda uri: facts_and_image(uri, longest_side_px=40), uris))
    for (facts, image), (same_facts, same_image) in zip(alone, together, strict=True):
        assert facts == same_facts
        assert np.array_equal(image.pixels, same_image.pixels)


def test_pillow_says_nothing(tmp_path):
    """In a process of its own, as pytest sets its own filters for warnings."""
    broken = save(tmp_path / "a.jpg", scene(1), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    large = save(tmp_path / "b.png", Image.new("1", (9_500, 9_500)))
    code = (
        "import sys; from pipeline.dataset.images import inspect_image\n"
        "for uri in sys.argv[1:]: inspect_image(uri, 10**9)"
    )
    command = [sys.executable, "-W", "error", "-c", code, broken, large]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _write(path, data):
    path.write_bytes(data)
    return str(path)


def _cut(path):
    save(path, scene(3, (200, 200)))
    return _write(path, path.read_bytes()[:-300])
