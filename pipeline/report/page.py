"""The pages as HTML: one self-contained file each, every text escaped, nothing fetched from anywhere."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.artefacts import CycleHarvest
from pipeline.dataset.versions import Version
from pipeline.report import (
    data_tables,
    evaluation_tables,
    evidence_tables,
    figures,
    lead_page,
    model_tables,
    people_tables,
    story,
    wording,
)
from pipeline.report.album import Album, ReadPixels
from pipeline.report.contents import CycleContents, IndexContents, Turn
from pipeline.report.gallery import asked_gallery, dropped_gallery, pseudo_gallery
from pipeline.report.names import DATA_FOLDER, INDEX_PAGE, LEAD_PAGE, data_name, page_name
from pipeline.report.notices import attention
from pipeline.report.outlook import outlook_line
from pipeline.report.paste_gallery import paste_gallery
from pipeline.report.tables import Table, numbers_table, text_table
from pipeline.settings.report import ReportSettings

_CYCLES_SHOWN = 12
_VERSIONS_SHOWN = 200
_REMARKS_SHOWN = 50
_QUEUE_SHOWN = 25
GALLERIES = {
    "asked": asked_gallery,
    "pseudo": pseudo_gallery,
    "dropped": dropped_gallery,
    "pastes": paste_gallery,
}
"""By name, in the order of the page."""

Parts = dict[str, object]
"""What a template shows, by name."""


def render_cycle(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> str:
    """Write the page of one cycle.

    Args:
        contents: The cycle; what is None or empty is said to be missing.
        read_pixels: Gives the pixels of a URI; an image that it cannot read (`ImageFault` or `OSError`) becomes a tile
            that says why.
        settings: How many images, how large.

    Returns:
        HTML, the same bytes for the same contents and images; save it as `page_name(cycle)`.
    """
    parts = _model(contents) | _data(contents) | _people(contents, read_pixels) | _run(contents)
    return (
        environment()
        .get_template("cycle.html")
        .render(
            contents=contents,
            turn=contents.turn,
            data_file=data_name(page_name(contents.turn.cycle)),
            headline=story.headline(contents.turns),
            outlook=outlook_line(contents.turns),
            facts=story.facts(contents),
            attention=attention(contents),
            galleries=[gallery(contents, read_pixels, settings) for gallery in GALLERIES.values()],
            **parts,
        )
    )


def render_lead(contents: CycleContents, read_pixels: ReadPixels) -> str:
    """Write the page for whoever leads the annotators, as of a cycle.

    Returns:
        HTML, the same bytes for the same contents and images; save it as `LEAD_PAGE` beside the other pages.
    """
    harvest = contents.harvest or CycleHarvest()
    return (
        environment()
        .get_template("lead.html")
        .render(
            contents=contents,
            data_file=data_name(LEAD_PAGE),
            headline=lead_page.headline(contents),
            reviewed=story.reviewed_line(contents.turns),
            kinds=lead_page.kinds(contents),
            annotators=lead_page.annotators(contents),
            progress=lead_page.progress(contents),
            reviews=people_tables.reviews(contents.turns, _CYCLES_SHOWN),
            acceptance=people_tables.acceptance(harvest.acceptance),
            remarks=people_tables.remarks(harvest.remarks, _REMARKS_SHOWN),
            queue=people_tables.queue(contents.queue, _queued_images(contents, read_pixels), _QUEUE_SHOWN),
        )
    )


def render_index(contents: IndexContents) -> str:
    """Write the page of the project: every cycle, every version, and the data as they are now.

    Returns:
        HTML, the same bytes for the same contents; save it as `index.html` beside the pages of the cycles.
    """
    latest = contents.versions[-1] if contents.versions else None
    return (
        environment()
        .get_template("index.html")
        .render(
            contents=contents,
            data_file=data_name(INDEX_PAGE),
            data_tables=[f"{DATA_FOLDER}/{name}.parquet" for name in ("cycles", "evaluation", "versions")],
            headline=story.headline(contents.turns) if contents.turns else "",
            outlook=outlook_line(contents.turns),
            latest=latest,
            now=_counts(latest) if latest else (),
            progress=model_tables.progress(contents.turns, len(contents.turns), contents.pages),
            ap_figure=figures.ap_by_cycle(contents.turns),
            work_figures=figures.ap_by_work(contents.turns),
            effort=people_tables.effort(contents.turns, len(contents.turns)),
            reviewed=story.reviewed_line(contents.turns),
            reviews=people_tables.reviews(contents.turns, len(contents.turns)),
            versions=data_tables.versions(contents.versions, contents.changes, _VERSIONS_SHOWN, contents.pages),
            class_sources=data_tables.class_sources(contents.class_sources, contents.pages),
        )
    )


@cache
def environment() -> Environment:
    """What fills the templates; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": wording, "page_name": page_name}
    return environment


def _counts(version: Version) -> tuple[Table, ...]:
    groups = (("images", "Images by state"), ("splits", "Images by split"), ("boxes", "Boxes by source"))
    return tuple(
        numbers_table(title, title.split()[-1].capitalize(), "Number", version.counts.get(name, {}))
        for name, title in groups
    )


def _model(contents: CycleContents) -> Parts:
    gate, calibration = contents.turn.gate, contents.calibration
    return {
        "progress": model_tables.progress(contents.turns, _CYCLES_SHOWN),
        "ap_figure": figures.ap_by_cycle(contents.turns),
        "splits": model_tables.splits(gate) if gate else None,
        "committee": model_tables.committee(contents.committee) if contents.committee else None,
        "classes": model_tables.classes(contents.turns),
        "forgotten": evaluation_tables.forgotten(gate) if gate else None,
        **_evaluation(contents.turn),
        "certificates": evidence_tables.certificates(contents),
        "missing": evidence_tables.missing_for_certificates(contents),
        "scores": evidence_tables.scores(calibration) if calibration else None,
        "reliability": figures.reliability(calibration) if calibration else "",
        "recall": evidence_tables.recall(calibration.recall if calibration else ()),
    }


def _evaluation(turn: Turn) -> Parts:
    """The new model in detail, on the split that is quoted."""
    metrics, split = turn.metrics(turn.reported_split), turn.reported_split
    return {
        "class_sizes": evaluation_tables.class_sizes(metrics, split) if metrics else None,
        "errors": evaluation_tables.errors(metrics, split) if metrics else None,
        "precision_recall": figures.precision_recall(metrics, split) if metrics else "",
    }


def _data(contents: CycleContents) -> Parts:
    own = [version for version in contents.versions if version.cycle == contents.opening.cycle]
    return {
        "versions": data_tables.versions(own, contents.changes, _VERSIONS_SHOWN),
        "class_sources": data_tables.class_sources(contents.class_sources),
        "issues": data_tables.issues(contents.issues),
    }


def _people(contents: CycleContents, read_pixels: ReadPixels) -> Parts:
    harvest = contents.harvest or CycleHarvest()
    refused = contents.push.refused if contents.push else {}
    album = _queued_images(contents, read_pixels)
    return {
        "effort": people_tables.effort(contents.turns, _CYCLES_SHOWN),
        "reviews": people_tables.reviews(contents.turns, _CYCLES_SHOWN),
        "reviewed": story.reviewed_line([contents.turn]),
        "queue": people_tables.queue(contents.queue, album, _QUEUE_SHOWN),
        "annotators": numbers_table("Answers, by person", "Person", "Answers", harvest.annotators),
        "drawn": numbers_table("Boxes that count, by source", "Source", "Boxes", harvest.boxes),
        "acceptance": people_tables.acceptance(harvest.acceptance),
        "remarks": people_tables.remarks(harvest.remarks, _REMARKS_SHOWN),
        "notes": text_table(
            "Answers that needed repair or could not be read", ("File or task", "Problem"), harvest.notes
        ),
        "refused": text_table(
            "Images that could not be pushed",
            ("File", "Why"),
            ((album.uri(image_id), why) for image_id, why in refused.items()),
        ),
    }


def _queued_images(contents: CycleContents, read_pixels: ReadPixels) -> Album:
    """The images of the queue that are shown, and those that were refused."""
    first = contents.queue.sort_by("rank").slice(0, _QUEUE_SHOWN)["image_id"].to_pylist()
    return Album(read_pixels, contents.samples, [*first, *(contents.push.refused if contents.push else {})])


def _run(contents: CycleContents) -> Parts:
    training, mining = contents.training, contents.mining
    return {
        "training_curve": figures.training_curve(training.run.curve) if training else "",
        "stages": data_tables.times("Time by stage", "Stage", contents.stage_seconds),
        "mining": data_tables.mining_costs(mining) if mining else None,
        "pasted": data_tables.pasted_by_fate(contents.selected.pasted) if contents.selected else None,
        "mining_steps": data_tables.times(
            "Time of mining, by step", "Step", data_tables.mining_seconds(mining) if mining else {}
        ),
    }
