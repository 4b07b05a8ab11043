import json
from pathlib import Path

import imagehash
import numpy as np
import pytest
from faster_coco_eval.core.mask import decode
from PIL import Image

from pipeline.dataset.demo import DEMO_LABELS, DemoCounts, generate_demo
from pipeline.dataset.demo.catalog import CLUTTER, PARTS, choose_things
from pipeline.dataset.demo.pile import MIN_VISIBLE, Part, Pile
from pipeline.dataset.demo.relief import Grid, Pose
from pipeline.dataset.demo.scene import HEIGHT, WIDTH, draw_scene
from pipeline.dataset.demo.shading import Light, Patch, render
from pipeline.errors import ArtefactError

ANNOTATIONS = {"labeled": "labeled.json", "pool": "hidden.json", "val": "val.json", "test": "test.json"}
FEW = DemoCounts(labeled=2, pool=3, val=1, test=1)
LIGHT = Light(azimuth=0.7, elevation=0.9, ambient=0.4, strip=2.0, hardness=0.5)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return generate_demo(tmp_path_factory.mktemp("demo"), counts=DemoCounts(labeled=12, pool=40, val=10, test=10))


def coco(made, portion):
    return json.loads(Path(made.annotations(portion)).read_text())


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "counts", [DemoCounts(0, 0, 0, 0), DemoCounts(1, 0, 0, 0), DemoCounts(labeled=2, pool=1, val=0, test=3)]
)
def test_every_portion_has_its_images_and_a_coco_file(tmp_path, counts):
    calls = []
    made = generate_demo(tmp_path / "demo", counts=counts, progress=lambda *call: calls.append(call))
    for portion in ANNOTATIONS:
        names = [image["file_name"] for image in coco(made, portion)["images"]]
        found = sorted(file.name for file in Path(made.images(portion)).glob("*"))
        assert names == found
        assert len(names) == getattr(counts, portion)
        assert [category["name"] for category in coco(made, portion)["categories"]] == list(DEMO_LABELS)
    assert calls == [("drawing images", done, counts.total) for done in range(1, counts.total + 1)]


def test_images_are_jpegs_of_one_size_with_neutral_names(demo):
    images = sorted(Path(demo.folder.uri).rglob("*.jpg"), key=lambda file: file.name)
    assert [file.name for file in images] == [f"part_{number:05d}.jpg" for number in range(72)]
    for file in images:
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (WIDTH, HEIGHT))


def test_boxes_lie_inside_and_name_known_images_and_classes(demo):
    for portion in ANNOTATIONS:
        data = coco(demo, portion)
        images = {image["id"] for image in data["images"]}
        for annotation in data["annotations"]:
            x, y, width, height = annotation["bbox"]
            assert 0 <= x < x + width <= WIDTH
            assert 0 <= y < y + height <= HEIGHT
            assert min(width, height) >= 5
            assert annotation["image_id"] in images
            assert 1 <= annotation["category_id"] <= len(DEMO_LABELS)


def test_portions_share_no_near_duplicates(demo):
    portions = {
        portion: [imagehash.dhash(Image.open(file), hash_size=16) for file in Path(demo.images(portion)).iterdir()]
        for portion in ANNOTATIONS
    }
    distances = [
        first - second
        for one, hashes in portions.items()
        for other, others in portions.items()
        if one < other
        for first in hashes
        for second in others
    ]
    assert min(distances) > 10


def test_nearly_all_chosen_parts_find_a_place_and_all_classes_occur(demo):
    data = [coco(demo, portion) for portion in ANNOTATIONS]
    labels = [annotation["category_id"] for part in data for annotation in part["annotations"]]
    assert set(labels) == set(range(1, len(DEMO_LABELS) + 1))
    assert 4 < len(labels) / demo.counts.total < 5.5


@pytest.mark.parametrize(("difficulty", "clutter"), [(0.0, 0.5), (0.5, 3.0), (1.0, 5.5)])
def test_things_keep_the_stated_balance(difficulty, clutter):
    rng = np.random.default_rng(0)
    scenes = [[kind.label for kind in choose_things(difficulty, rng)] for _ in range(4000)]
    counts = [sum(scene.count(label) for scene in scenes) for label in DEMO_LABELS]
    parts = [len(scene) - scene.count("") for scene in scenes]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] / counts[0] == pytest.approx(0.25, abs=0.05)
    assert set(parts) == set(range(10))
    assert parts.count(0) / len(parts) == pytest.approx(0.04, abs=0.01)
    assert np.mean([scene.count("") for scene in scenes]) == pytest.approx(clutter, rel=0.05)


def test_same_seed_gives_the_same_bytes(tmp_path):
    first, second = (generate_demo(tmp_path / name, seed=7, counts=FEW) for name in ("one", "two"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert first.digest == second.digest


@pytest.mark.parametrize("change", [{"seed": 8}, {"difficulty": 0.9}])
def test_another_seed_or_difficulty_gives_other_images(tmp_path, change):
    first = generate_demo(tmp_path / "one", counts=FEW, **{"seed": 7, "difficulty": 0.5})
    second = generate_demo(tmp_path / "two", counts=FEW, **{"seed": 7, "difficulty": 0.5, **change})
    for portion in ANNOTATIONS:
        one, two = (sorted(Path(made.images(portion)).iterdir()) for made in (first, second))
        assert all(old.read_bytes() != new.read_bytes() for old, new in zip(one, two, strict=True))


def test_a_image_does_not_depend_on_how_many_there_are(tmp_path):
    few = generate_demo(tmp_path / "few", counts=FEW)
    more = generate_demo(tmp_path / "more", counts=DemoCounts(labeled=3, pool=4, val=2, test=2))
    for portion in ANNOTATIONS:
        one, two = (sorted(Path(made.images(portion)).iterdir()) for made in (few, more))
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two[: len(one)]]


def test_a_finished_set_is_left_alone(tmp_path):
    first = generate_demo(tmp_path, counts=FEW)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    again = generate_demo(str(tmp_path), counts=FEW, progress=lambda *_: pytest.fail("drawn again"))
    assert again.digest == first.digest
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("after", [1, 3, 7])
def test_an_interrupted_set_is_made_whole(tmp_path, after):
    def stop(_what, done, total):
        if done == after:
            raise KeyboardInterrupt

    whole = generate_demo(tmp_path / "whole", counts=FEW)
    with pytest.raises(KeyboardInterrupt):
        generate_demo(tmp_path / "broken", counts=FEW, progress=stop)
    assert json.loads((tmp_path / "broken" / "demo.json").read_text())["digest"] is None
    (tmp_path / "broken" / "pool").mkdir(exist_ok=True)
    (tmp_path / "broken" / "pool" / "part_00099.jpg").write_bytes(b"left over from a larger set")
    (tmp_path / "broken" / "pool" / "part_00001.jpg.1234abcd.tmp").write_bytes(b"half an image")
    assert generate_demo(tmp_path / "broken", counts=FEW).digest == whole.digest
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["pool/part_00003.jpg", "hidden.json"])
@pytest.mark.parametrize("how", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-9])])
def test_a_damaged_set_is_drawn_anew(tmp_path, damage, how):
    generate_demo(tmp_path, counts=FEW)
    before = contents(tmp_path)
    how(tmp_path / damage)
    generate_demo(tmp_path, counts=FEW)
    assert contents(tmp_path) == before


def test_a_set_of_other_parameters_is_refused_and_kept(tmp_path):
    generate_demo(tmp_path, counts=FEW)
    before = contents(tmp_path)
    with pytest.raises(ArtefactError, match=r"expected a demo set made with .*'seed': 1.*, got one .*'seed': 0"):
        generate_demo(tmp_path, seed=1, counts=FEW)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["test.json", "val/part_00001.jpg"])
def test_files_that_were_there_before_are_never_touched(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ArtefactError, match="expected nothing of this name before the demo set is drawn"):
        generate_demo(tmp_path, counts=FEW)
    assert contents(tmp_path) == {name: b"mine"}


def test_images_that_others_added_are_never_removed(tmp_path):
    generate_demo(tmp_path, counts=FEW)
    (tmp_path / "pool" / "holiday.jpg").write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(ArtefactError, match=r"expected nothing but generated images, got 'holiday\.jpg'"):
        generate_demo(tmp_path, counts=FEW)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "Expected a seed of 0 or more, got -1"),
        ({"difficulty": -0.1}, "Expected a difficulty from 0 to 1, got -0.1"),
        ({"difficulty": 1.5}, "Expected a difficulty from 0 to 1, got 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_demo(tmp_path, counts=FEW, **arguments)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="Expected pool to be 0 or more images, got -1"):
        DemoCounts(pool=-1)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_boxes_are_tight_round_what_is_seen(difficulty):
    for number in range(8):
        scene = draw_scene(difficulty, np.random.default_rng([3, number]))
        assert scene.pixels.shape == (HEIGHT, WIDTH, 3)
        owners = np.sum([part.mask for part in scene.parts], axis=0) if scene.parts else np.zeros(1)
        assert owners.max() <= 1
        for part in scene.parts:
            seen = [(x, y) for y, row in enumerate(part.mask.tolist()) for x, hit in enumerate(row) if hit]
            columns, rows = zip(*seen, strict=True)
            assert part.box == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.label)
def test_box_bounds_the_pixels_that_a_part_changes(kind):
    for number in range(5):
        rng = np.random.default_rng([4, number])
        grid = Grid(Pose(30, rng.uniform(0, 6.3)))
        pile = Pile(np.zeros((HEIGHT, WIDTH, 3), np.float32), LIGHT)
        pile.put(render(kind.draw(grid, rng), grid.pixel, LIGHT, rng), 100, 90, kind.label, lift_px=3)
        changed = Part(kind.label, pile.canvas.max(axis=2) > 0, (0, 0, 1, 1))
        assert np.abs(np.subtract(pile.parts()[0].box, changed.box)).max() <= 1


@pytest.mark.parametrize("kind", PARTS + CLUTTER, ids=lambda kind: kind.draw.__name__)
def test_every_specimen_fits_its_grid_and_fills_its_size(kind):
    for number in range(10):
        rng = np.random.default_rng([6, number])
        grid = Grid(Pose(25, rng.uniform(0, 6.3), tilt=0.9, tilt_axis=1.0))
        layers = kind.draw(grid, rng)
        border = np.ones(grid.u.shape, bool)
        border[1:-1, 1:-1] = False
        assert max(layer.coverage[border].max() for layer in layers) == 0
        patch = render(layers, grid.pixel, LIGHT, rng)
        assert np.isfinite(patch.color).all()
        assert patch.telling.any()
        assert 25 < np.hypot(*patch.alpha.shape) < 2 * 25 * 1.5


def rectangle(width, height, telling=None):
    mask = np.ones((height, width), bool)
    known = mask.copy()
    known[:, telling:] = telling is None
    return Patch(np.full((height, width, 3), 0.5, np.float32), mask.astype(np.float32), mask, known)


@pytest.mark.parametrize(
    ("patch", "left", "fits"),
    [
        (rectangle(10, 10), 20, True),
        (rectangle(10, 10), -5, True),
        (rectangle(10, 10), -6, False),
        (rectangle(10, 10), WIDTH - 5, True),
        (rectangle(10, 10), WIDTH - 4, False),
        (rectangle(10, 10, telling=2), -2, False),
        (rectangle(10, 10, telling=2), WIDTH - 5, True),
    ],
)
def test_a_part_lies_half_inside_with_half_of_what_tells_its_class(patch, left, fits):
    pile = Pile(np.zeros((HEIGHT, WIDTH, 3), np.float32), LIGHT)
    assert pile.fits(patch, left, 20) is fits


@pytest.mark.parametrize(
    ("telling", "left", "fits"),
    [(10, 80, True), (10, 56, True), (10, 55, True), (10, 54, True), (10, 53, False), (2, 54, True), (2, 48, False)],
)
def test_no_part_is_hidden_too_much(telling, left, fits):
    pile = Pile(np.zeros((HEIGHT, WIDTH, 3), np.float32), LIGHT)
    pile.put(rectangle(10, 10, telling), 50, 20, "bolt", lift_px=2)
    assert pile.fits(rectangle(10, 10), left, 20) is fits
    if fits:
        pile.put(rectangle(10, 10), left, 20, "", lift_px=2)
        assert pile.parts()[0].mask.sum() >= MIN_VISIBLE * 100


@pytest.mark.parametrize(("peeping", "seen"), [(0, (0, 20, 70, 90)), (5, (0, 20, 70, 90)), (40, (0, 20, 130, 90))])
def test_specks_beyond_a_cover_do_not_widen_a_box(peeping, seen):
    pile = Pile(np.zeros((HEIGHT, WIDTH, 3), np.float32), LIGHT)
    bar, cover = rectangle(90 + peeping, 70), rectangle(20, 70)
    pile.put(bar, 0, 20, "bolt", lift_px=2)
    pile.put(cover, 70, 20, "", lift_px=2)
    assert pile.parts()[0].box == seen


def test_a_set_with_visible_boxes_has_both_of_each_part(tmp_path):
    made = generate_demo(tmp_path, counts=DemoCounts(labeled=12, pool=0, val=0, test=0), beside="visible")
    shares = []
    for annotation in coco(made, "labeled")["annotations"]:
        (x, y, width, height), (u, v, seen_width, seen_height) = annotation["bbox"], annotation["visible_bbox"]
        assert 0 <= x <= u < u + seen_width <= x + width <= WIDTH
        assert 0 <= y <= v < v + seen_height <= y + height <= HEIGHT
        shares.append(seen_width * seen_height / annotation["area"])
    assert 0.1 < np.mean(np.array(shares) < 0.95) < 0.6
    assert json.loads((tmp_path / "demo.json").read_text())["parameters"]["beside"] == "visible"


def test_visible_boxes_are_asked_for(tmp_path):
    made = generate_demo(tmp_path, counts=FEW)
    assert not any(
        annotation.keys() & {"visible_bbox", "segmentation"} for annotation in coco(made, "labeled")["annotations"]
    )
    with pytest.raises(ArtefactError, match=r"expected a demo set made with .*'beside': 'visible'"):
        generate_demo(tmp_path, counts=FEW, beside="visible")


def test_masks_are_the_pixels_that_are_seen_of_each_part(tmp_path):
    made = generate_demo(tmp_path / "masks", counts=FEW, beside="mask")
    plain = generate_demo(tmp_path / "plain", counts=FEW)
    shares = []
    for annotation, same in zip(
        coco(made, "labeled")["annotations"], coco(plain, "labeled")["annotations"], strict=True
    ):
        mask = decode({**annotation["segmentation"], "counts": annotation["segmentation"]["counts"].encode()})
        rows, columns = mask.nonzero()
        assert annotation["bbox"] == same["bbox"]
        assert annotation["bbox"][:2] == [columns.min(), rows.min()]
        assert annotation["bbox"][2:] == [np.ptp(columns) + 1, np.ptp(rows) + 1]
        shares.append(mask.sum() / annotation["area"])
    assert 0.2 < np.mean(shares) < 0.9


def test_a_full_box_is_round_what_is_covered_too():
    pile = Pile(np.zeros((HEIGHT, WIDTH, 3), np.float32), LIGHT)
    pile.put(rectangle(90, 70), -10, 20, "bolt", lift_px=2)
    pile.put(rectangle(30, 70), 60, 20, "", lift_px=2)
    assert pile.parts()[0].box == (0, 20, 60, 90)
    assert pile.parts()[0].full_box == (0, 20, 80, 90)
