"""Label Studio's labelling page in a browser, by what a person does on it: for tests, measurements and pictures.

Every key, click and drag goes through the browser's own input events, as a person's would, and is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import FloatRect, Page, expect
from playwright.sync_api import TimeoutError as BrowserTimeout

Corners = tuple[float, float, float, float]
Point = tuple[float, float]

_LOADED = """() => {
    const image = document.querySelector('img[alt="image"]');
    return image !== null && image.complete && image.naturalWidth > 0;
}"""
_LINES = ".lsf-outliner-item__title"
_SELECTED = ".lsf-tree-treenode-selected"
_EDGE_PX = 0.5
"""No event nearer to the edge of the image, beyond which it would be about something else."""
_STEPS = 10
"""Mouse moves in a drag."""


@dataclass
class LabelingPage:
    """The page of one person.

    Attributes:
        page: Of the browser.
        url: The server.
        folder: Where pictures of the page go.
        size: Width and height of the images on it, pixels.
        strokes: `keys`, `clicks` and `drags` so far.
    """

    page: Page
    url: str
    folder: Path
    size: tuple[int, int] = (320, 240)
    strokes: Counter[str] = field(default_factory=Counter)
    _shots: int = 0

    def log_in(self, email: str, password: str) -> None:
        """Log in at the form."""
        self.page.goto(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", email)
        self.page.fill("[name=password]", password)
        self.page.press("[name=password]", "Enter")
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def open_queue(self, project: int) -> None:
        """Begin to label, and put the instructions away."""
        self.page.goto(f"{self.url}/projects/{project}/data")
        self.page.locator('button:has-text("Label All Tasks")').click()
        expect(self.page.locator("text=Labeling Instructions")).to_be_visible()
        self.click("Close modal")

    def shot(self, name: str) -> Path:
        """Take a picture of the page."""
        self.page.wait_for_timeout(800)  # for the page's own movements to end
        self._shots += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._shots:02d}-{name}.png"
        self.page.screenshot(path=path)
        return path

    def click(self, name: str) -> None:
        """Click what is called so."""
        self.page.locator(f'[aria-label="{name}"]').first.click()
        self.strokes["clicks"] += 1

    def press(self, key: str) -> None:
        """Press a key, perhaps with others held."""
        self.page.keyboard.press(key)
        self.strokes["keys"] += 1

    def ready(self, reason: str) -> None:
        """Wait for the task with this reason, and its image."""
        expect(self.page.locator(f"text={reason}").first).to_be_visible()
        self.page.wait_for_function(_LOADED)

    def lines(self) -> list[str]:
        """The list of regions."""
        return self.page.locator(_LINES).all_inner_texts()

    def image_top(self) -> float:
        """How far down the page the image begins, pixels."""
        return self._image()["y"]

    def next_box(self) -> str:
        """Go to the next region by its key.

        Returns:
            Its line in the list of regions.
        """
        before = self._selected()
        self.press("Alt+.")
        for _ in range(100):
            line = self._selected()
            if line and line != before:
                return line[1]
            self.page.wait_for_timeout(20)
        raise AssertionError(f"the key for the next region selected none after {before}")

    def drag(self, start: Point, end: Point) -> None:
        """Drag from one point of the image to another."""
        self.page.mouse.move(*self._on_screen(*start))
        self.page.mouse.down()
        for step in range(1, _STEPS + 1):
            x, y = (a + (b - a) * step / _STEPS for a, b in zip(start, end, strict=True))
            self.page.mouse.move(*self._on_screen(x, y))
        self.page.mouse.up()
        self.strokes["drags"] += 1

    def select(self, corners: Corners) -> None:
        """Click on a box until it is selected: boxes are laid on the image some time after it has come."""
        for _ in range(60):
            self.page.keyboard.press("Escape")
            self.page.mouse.click(*self._on_screen(*centre(corners)))
            try:
                self.page.locator(_SELECTED).first.wait_for(timeout=1000)
            except BrowserTimeout:
                continue
            self.strokes["clicks"] += 1
            return
        raise AssertionError(f"no box at {corners} could be selected")

    def draw(self, digit: str, corners: Corners) -> None:
        """Draw a box of the class with this digit."""
        self.page.keyboard.press("Escape")
        before = len(self.lines())
        self.press(digit)
        self.drag(corners[:2], corners[2:])
        expect(self.page.locator(_LINES)).to_have_count(before + 1)
        self.page.keyboard.press("Escape")

    def _selected(self) -> tuple[int, str] | None:
        """Place and line of the selected region."""
        marked = self.page.locator(f"{_SELECTED} {_LINES}")
        if not marked.count():
            return None
        line = marked.first.inner_text()
        nodes = self.page.locator(".lsf-tree-treenode").evaluate_all(
            "all => all.findIndex(one => one.classList.contains('lsf-tree-treenode-selected'))"
        )
        return int(nodes), line

    def _on_screen(self, x: float, y: float) -> Point:
        x, y = (min(max(place, _EDGE_PX), side - _EDGE_PX) for place, side in zip((x, y), self.size, strict=True))
        image = self._image()
        return image["x"] + x / self.size[0] * image["width"], image["y"] + y / self.size[1] * image["height"]

    def _image(self) -> FloatRect:
        """Where the image is, in pixels of the page."""
        image = self.page.locator('img[alt="image"]').bounding_box()
        assert image is not None, "the page shows no image"
        return image


def centre(corners: Corners) -> Point:
    """The middle of a box."""
    x1, y1, x2, y2 = corners
    return (x1 + x2) / 2, (y1 + y2) / 2
