"""Answer ten images in a browser, drawn blind, corrected and verified, and count what it takes.

    python -m scripts.annotation_session --document-root .

needs a running server, such as `make label-studio` starts; the folder holds its `password` and `api_key`. The images
are generated below the document root. A script plays the person, so that the strokes are a person's and the seconds
are not: how long a person takes is estimated from the strokes by the keystroke-level model (Card, Moran and Newell,
"The keystroke-level model for user performance time with interactive systems", CACM 1980).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import expect, sync_playwright
from pydantic import SecretStr

from pipeline.dataset.demo import DEMO_LABELS
from pipeline.dataset.demo.scene import HEIGHT, WIDTH
from pipeline.folder import Folder
from pipeline.labeling.feedback.agreement import same_boxes
from pipeline.labeling.label_studio import LabelStudioBackend
from pipeline.labeling.label_studio.client import Client
from pipeline.records import Task, TaskKind
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings
from scripts.label_studio import EMAIL
from scripts.labeling_page import LabelingPage, centre
from scripts.session_images import Case, make_cases

KEY_S, POINT_S, CLICK_S, THINK_S = 0.28, 1.1, 0.2, 1.35
"""Keystroke-level model: a key by an average typist, pointing at a place, pressing and releasing a button, and making
up one's mind, once per box."""
SAME_IOU = 0.9
SIZE = (WIDTH, HEIGHT)
WAYS = {"drawn blind": TaskKind.BLIND, "corrected": TaskKind.ASK, "verified": TaskKind.VERIFY}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Place:
    """Where people answer.

    Attributes:
        url: The server.
        document_root: What it may show images from.
        password: Of its first user.
        token: Of the same.
    """

    url: str
    document_root: Path
    password: str = field(repr=False)
    token: SecretStr


@dataclass(frozen=True)
class Effort:
    """What it took to answer all images one way.

    Attributes:
        way: Of `WAYS`.
        images: How many.
        keys, clicks, drags: Strokes in all.
        browser_s: Seconds that the script and the page took for them.
        person_s: Seconds by the keystroke-level model.
        right: Boxes of the answers that are right, by class and at `SAME_IOU`.
        wrong: Others.
        left_open: Boxes and images that were left open.
    """

    way: str
    images: int
    keys: int
    clicks: int
    drags: int
    browser_s: float
    person_s: float
    right: int
    wrong: int
    left_open: int


def draw_all(page: LabelingPage, case: Case) -> None:
    """Draw every object."""
    for box in case.true:
        page.draw(_digit(box.label), box.xyxy)


def correct(page: LabelingPage, case: Case) -> None:
    """Put right what is at fault; what is right needs no stroke."""
    for shown in case.shown:
        if not shown.fault:
            continue
        page.select(shown.box.xyxy)
        if shown.true is None:
            page.press("Backspace")
        elif shown.fault == "inexact":
            page.drag(centre(shown.box.xyxy), centre(shown.true.xyxy))
        else:
            page.press(_digit(shown.true.label))


def verify(page: LabelingPage, case: Case) -> None:
    """Say of each box in turn what it is, and that nothing is missing."""
    for shown in case.shown:
        page.next_box()
        if shown.true is None:
            page.press("x")
        elif shown.fault == "inexact":
            page.press("i")
        elif shown.fault:
            page.press(_digit(shown.true.label))
    page.press("n")


ACTIONS: Mapping[TaskKind, Callable[[LabelingPage, Case], None]] = {
    TaskKind.BLIND: draw_all,
    TaskKind.ASK: correct,
    TaskKind.VERIFY: verify,
}


def measure(way: str, cases: Sequence[Case], page: LabelingPage, backend: LabelStudioBackend, project: int) -> Effort:
    """Answer all images one way."""
    kind = WAYS[way]
    page.open_queue(project)
    spent, thought = 0.0, 0
    before = Counter(page.strokes)
    for number, case in enumerate(cases):
        page.ready(_reason(number))
        boxes = 0 if kind is TaskKind.BLIND else len(case.shown)
        expect(page.page.locator(".lsf-outliner-item__title")).to_have_count(boxes)
        began = time.monotonic()
        ACTIONS[kind](page, case)
        page.press("Control+Enter")
        spent += time.monotonic() - began
        thought += boxes or len(case.true)
    expect(page.page.locator("text=No More Tasks Left in Queue")).to_be_visible()
    strokes = page.strokes - before
    answers = {answer.image_id: answer for answer in backend.harvest().answers}
    pairs = [(case, answers[image_id_of(case)]) for case in cases]
    right = sum(len(same_boxes(case.true, answer.boxes, SAME_IOU)) for case, answer in pairs)
    drawn = sum(len(answer.boxes) for answer in answers.values())
    return Effort(
        way,
        len(cases),
        keys=strokes["keys"],
        clicks=strokes["clicks"],
        drags=strokes["drags"],
        browser_s=round(spent, 1),
        person_s=round(_seconds(strokes, thought), 1),
        right=right,
        wrong=drawn - right,
        left_open=sum(len(answer.ignore) for answer in answers.values()),
    )


def _seconds(strokes: Mapping[str, int], thought: int) -> float:
    """The keystroke-level model; a click is pointed at, a drag is pointed at both ends."""
    clicks, drags = strokes["clicks"], strokes["drags"]
    return strokes["keys"] * KEY_S + clicks * (POINT_S + CLICK_S) + drags * (2 * POINT_S + CLICK_S) + thought * THINK_S


def _digit(label: str) -> str:
    return str(DEMO_LABELS.index(label) + 1)


def _reason(number: int) -> str:
    return f"image {number + 1:02d}"


def image_id_of(case: Case) -> str:
    """Of its file."""
    return hashlib.sha256(Path(case.uri).read_bytes()).hexdigest()


def _tasks(cases: Sequence[Case], kind: TaskKind) -> list[Task]:
    """One task for each image, in their order."""
    return [
        Task(
            image_id_of(case), case.uri, *SIZE, tuple(shown.box for shown in case.shown),
            value=float(len(cases) - number), reason=_reason(number), kind=kind, rank=number + 1,
        )
        for number, case in enumerate(cases)
    ]  # fmt: skip


def measure_all(place: Place, count: int) -> list[Effort]:
    """Answer the same images in every way, each in a project of its own that is removed afterwards."""
    cases = make_cases(place.document_root / "build/annotation-session", count)
    client = Client(place.url, place.token, 60.0)
    efforts = []
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = LabelingPage(browser.new_page(viewport={"width": 1280, "height": 800}), place.url, Path(folder), SIZE)
        expect.set_options(timeout=60_000)
        page.page.set_default_timeout(60_000)
        page.log_in(EMAIL, place.password)
        for way, kind in WAYS.items():
            title = f"session {way} {time.time_ns()}"[:50]
            settings = LabelStudioSettings(url=place.url, project=title, document_root=str(place.document_root))
            data = DataSettings(labels=DEMO_LABELS)
            backend = LabelStudioBackend(client, settings, data, 0.9, Folder(folder))
            backend.push(_tasks(cases, kind))
            project = int(client.projects(title)[0]["id"])
            try:
                efforts.append(measure(way, cases, page, backend, project))
            finally:
                client.delete_project(project)
        browser.close()
    return efforts


def table(efforts: Sequence[Effort]) -> str:
    """The efforts per image, as Markdown."""
    lines = [
        "| per image | keys | clicks | drags | seconds, script | seconds, person | right boxes | wrong | left open |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for effort in efforts:
        numbers = [effort.keys, effort.clicks, effort.drags, effort.browser_s, effort.person_s]
        numbers += [effort.right, effort.wrong, effort.left_open]
        lines.append(f"| {effort.way} | {' | '.join(f'{number / effort.images:.1f}' for number in numbers)} |")
    return "\n".join(lines)


def parse_place(description: str) -> tuple[Place, argparse.Namespace]:
    """Read from the command line where people answer, and what else it says."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--folder", type=Path, default=Path("data/label-studio"), help="password and api_key")
    parser.add_argument("--document-root", type=Path, default=Path(), help="what the server may show images from")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args()
    password, token = ((given.folder / name).read_text().strip() for name in ("password", "api_key"))
    return Place(given.url, given.document_root.resolve(), password, SecretStr(token)), given


def main() -> None:
    """Measure and print the table."""
    place, given = parse_place(__doc__ or "")
    efforts = measure_all(place, given.images)
    print(table(efforts))
    if given.json:
        given.json.write_text(json.dumps([asdict(effort) for effort in efforts], indent=1) + "\n")


if __name__ == "__main__":
    main()
