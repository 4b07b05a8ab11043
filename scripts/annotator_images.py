"""Take the pictures of `docs/annotators.md`: `python -m scripts.annotator_images --document-root .`.

Needs a running server, as `scripts/annotation_session.py` does, and shows generated images in a project of its own that
is removed afterwards. The lead's page is that of the workspace of `crosscheck demo`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from pipeline.dataset.demo import DEMO_LABELS
from pipeline.folder import Folder
from pipeline.labeling.label_studio import LabelStudioBackend
from pipeline.labeling.label_studio.client import Client
from pipeline.records import Task, TaskKind
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings
from scripts.annotation_session import CHROMIUM, SIZE, Place, image_id_of, parse_place
from scripts.label_studio import EMAIL
from scripts.labeling_page import LabelingPage
from scripts.session_images import Case, make_cases

FOLDER = Path("docs/images")
WIDTH_PX, QUALITY = 860, 78
_SCHEME = re.compile("^(Light|Dark|Auto)$")
LEAD_PAGE = Path("runs/demo/reports/lead.html")
REASONS = (
    "{} boxes to verify; really a washer? found again in 1 of 4 images",
    "1 bolt may be missed, lower; really a washer? found again in 1 of 4 images",
    "please draw every object",
    "perhaps the first spring; 1 key may be missed, upper right",
    "really a key? found again in 0 of 3 images",
    "please draw every object",
)
KINDS = (TaskKind.VERIFY, TaskKind.ASK, TaskKind.BLIND, TaskKind.ASK, TaskKind.ASK, TaskKind.AUDIT)


def main() -> None:
    """Take them all, light and dark."""
    place = parse_place(__doc__ or "")[0]
    FOLDER.mkdir(exist_ok=True)
    cases = make_cases(place.document_root / "build/annotator-images", len(KINDS))
    title = "workshop parts"
    settings = LabelStudioSettings(url=place.url, project=title, document_root=str(place.document_root))
    client = Client(place.url, place.token, 60.0)
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        backend = LabelStudioBackend(client, settings, DataSettings(labels=DEMO_LABELS), 0.9, Folder(folder))
        tasks = _tasks(cases)
        backend.push(tasks)
        project = int(client.projects(title)[0]["id"])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        expect.set_options(timeout=60_000)
        try:
            page = browser.new_page(viewport={"width": 1200, "height": 750})
            page.set_default_timeout(60_000)
            _label_studio(LabelingPage(page, place.url, Path(folder), SIZE), place, project, tasks)
            _lead(browser.new_page(viewport={"width": 1000, "height": 760}), Path(folder))
        finally:
            client.delete_project(project)
        browser.close()


def _label_studio(page: LabelingPage, place: Place, project: int, tasks: Sequence[Task]) -> None:
    page.log_in(EMAIL, place.password)
    page.page.goto(f"{place.url}/projects/{project}/data")
    expect(page.page.locator(f"text={tasks[1].reason}").first).to_be_visible()
    _light_and_dark(page, "table")
    page.open_queue(project)
    page.ready(tasks[0].reason)
    expect(page.page.locator(".lsf-outliner-item__title")).to_have_count(len(tasks[0].boxes))
    page.next_box()
    page.next_box()
    _light_and_dark(page, "verify")
    page.click("skip-task")
    page.ready(tasks[1].reason)
    expect(page.page.locator("text=Task skipped successfully")).to_have_count(0)
    expect(page.page.locator(".lsf-outliner-item__title")).to_have_count(len(tasks[1].boxes))
    _light_and_dark(page, "task")


def _light_and_dark(page: LabelingPage, name: str) -> None:
    """Take a picture in either scheme; the page's button goes through them."""
    for scheme in ("Light", "Dark"):
        while not page.page.get_by_role("button", name=scheme, exact=True).count():
            page.page.locator("button", has_text=_SCHEME).first.click()
            page.page.wait_for_timeout(300)
        save(page.shot(name), f"{name}-{scheme.lower()}")


def _lead(page: Page, folder: Path) -> None:
    if not LEAD_PAGE.is_file():
        print(f"{LEAD_PAGE} is not there; run `crosscheck demo` for its picture")
        return
    page.goto(LEAD_PAGE.resolve().as_uri())
    page.emulate_media(color_scheme="light")
    page.screenshot(path=folder / "lead-light.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=folder / "lead-dark.png")
    for scheme in ("light", "dark"):
        save(folder / f"lead-{scheme}.png", f"lead-{scheme}")


def save(picture: Path, name: str) -> None:
    """Keep a picture, smaller."""
    path = FOLDER / f"{name}.webp"
    with Image.open(picture) as opened:
        height = round(opened.height * WIDTH_PX / opened.width)
        opened.convert("RGB").resize((WIDTH_PX, height), Image.Resampling.LANCZOS).save(path, quality=QUALITY)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def _tasks(cases: Sequence[Case]) -> list[Task]:
    tasks = []
    for rank, (case, kind, reason) in enumerate(zip(cases, KINDS, REASONS, strict=True), 1):
        by_chance = [replace(shown.box, p_correct=0.9 - 0.08 * at) for at, shown in enumerate(case.shown)]
        boxes = tuple(reversed(by_chance))  # the most doubtful first, as in a real queue
        doubts = {boxes[0].box_id: "found again in 1 of 4 images"}
        tasks.append(
            Task(
                image_id_of(case),
                case.uri,
                *SIZE,
                boxes,
                value=10.0 - rank,
                reason=reason.format(len(boxes)),
                kind=kind,
                doubts=doubts,
                rank=rank,
            )
        )
    return tasks


if __name__ == "__main__":
    main()
