"""Draw the images of `docs/how-a-box-is-judged.md` from the demo's workspace: `python scripts/docs_images.py`.

They show cycle 0 of `crosscheck demo`, by the code of the report.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.api import Workspace
from pipeline.artefacts import Calibration
from pipeline.report.drawing import DrawnCard
from pipeline.report.figures import reliability

FOLDER = Path("docs/images")
CYCLE = 0
PASTES = (0, 2, 5)
"""Cards of the gallery that the page speaks of."""
INKS = "--page:#fff;--ink:#16191d;--quiet:#545b64;--line:#d5d9de;--first:#0072b2;--second:#b8480a;background:#fff"


def main() -> None:
    """Draw them all."""
    FOLDER.mkdir(exist_ok=True)
    project = Workspace.open("runs/demo")
    save(project.gallery("asked", CYCLE)[0], "asked")
    pastes = project.gallery("pastes", CYCLE)
    for number, place in enumerate(PASTES):
        save(pastes[place], f"paste-{number}")
    figure = str(reliability(project.cycle(CYCLE).read(Calibration)))  # markup would escape what is added
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" style="{INKS}"'
    (FOLDER / "reliability.svg").write_text(figure.replace("<svg", opening, 1))


def save(card: DrawnCard, name: str) -> None:
    """Write a card's image, and say what it shows."""
    card.image.save(FOLDER / f"{name}.webp", quality=80)
    print(name, card.heading, *card.lines, sep="\n  ")


if __name__ == "__main__":
    main()
