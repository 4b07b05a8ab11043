"""The page of a model: where it comes from, how good it is, and what became of it."""

from __future__ import annotations

import json

from pipeline.artefacts import Certificates, GateOutcome, Metrics
from pipeline.report import evaluation_tables, evidence_tables, figures, model_tables
from pipeline.report.names import data_name, model_page, page_name, up, version_page
from pipeline.report.page import environment
from pipeline.report.site.model_contents import ModelContents, settings_of
from pipeline.report.site.pages import Rendered
from pipeline.report.story import Fact
from pipeline.report.tables import Badge, Cell, Column, Link, Table, text_table
from pipeline.report.wording import NOTHING, change, count, duration, interval, plural, share, short_id, with_interval

_ENDED = {
    "plateau": "held-back images no longer got better",
    "steps": "all steps were done",
    "fallback_steps": "there was nothing to look at, so as many steps as are set for that",
    "committee": "as many steps as the committee needed",
}
"""What ended a run, in words."""
_TONES = {"champion": "good", "champion before": "note", "not champion": "warn"}

Detail = tuple[str, tuple[Cell, ...]]


def render_model(contents: ModelContents) -> Rendered:
    """Write the page."""
    gate, calibration, training = contents.gate, contents.calibration, contents.training
    metrics, split = _reported(contents)
    html = (
        environment()
        .get_template("model.html")
        .render(
            contents=contents,
            standing=Badge(contents.standing, _TONES[contents.standing]),
            facts=_facts(contents),
            details=_details(contents),
            settings=_settings(contents),
            every_setting=_every_setting(contents),
            training_curve=figures.training_curve(training.run.curve) if training else "",
            gap=_gap(gate) if gate else "",
            splits=model_tables.splits(gate) if gate else None,
            forgotten=evaluation_tables.forgotten(gate) if gate else None,
            classes=classes(metrics, split) if metrics else None,
            errors=evaluation_tables.errors(metrics, split) if metrics else None,
            precision_recall=figures.precision_recall(metrics, split) if metrics else "",
            scores=evidence_tables.scores(calibration) if calibration else None,
            reliability=figures.reliability(calibration) if calibration else "",
            certificates=promises(contents.certificates) if contents.certificates else None,
            files=_files(contents),
            data_file=up(data_name(model_page(contents.model_id))),
        )
    )
    return Rendered(html, contents)


def classes(metrics: Metrics, split: str) -> Table:
    """Every class on one split, the worst first."""
    columns = (
        Column("Class", numeric=False),
        Column("True boxes"),
        Column("AP [95 %]"),
        Column("AP50"),
        Column("small", hint="objects under 32 x 32 pixels"),
        Column("medium", hint="objects under 96 x 96 pixels"),
        Column("large"),
    )
    ranked = sorted(metrics.per_class.items(), key=lambda pair: (pair[1].ap is None, pair[1].ap or 0.0, pair[0]))
    rows = tuple(
        (
            label,
            count(own.boxes),
            with_interval(own.ap, own.interval),
            *map(share, (own.ap50, own.ap_small, own.ap_medium, own.ap_large)),
        )
        for label, own in ranked
    )
    return Table(f"Each class on {split}, the worst first", columns, rows)


def promises(certificates: Certificates) -> Table:
    """What is promised of the model's pseudo-labels, by class."""
    columns = (
        Column("Class", numeric=False),
        Column("Certificate", numeric=False),
        Column("Threshold", hint="on p(correct)"),
        Column("Held-back boxes right", hint="right boxes among all held-back boxes above the threshold"),
        Column("Certified precision", hint="lower bound"),
    )
    rows = tuple(
        (label, *evidence_tables.promise(own, withdrawn=False)) for label, own in sorted(certificates.classes.items())
    )
    return Table("Certificates of its boxes", columns, rows)


def _reported(contents: ModelContents) -> tuple[Metrics | None, str]:
    """Metrics on test, else on what the gate compares on, with the split's name."""
    measured = {"test": contents.gate.test, "val": contents.gate.val} if contents.gate else contents.card.metrics
    for split in ("test", "val"):
        metrics = measured.get(split)
        if metrics is not None and metrics.boxes:
            return metrics, split
    return None, contents.checked


def _facts(contents: ModelContents) -> tuple[Fact, ...]:
    """The four numbers of a model: its precision, its labels, its training."""
    metrics, split = _reported(contents)
    ends = f"95 % interval {interval(metrics.interval)}" if metrics and metrics.interval else "no interval"
    run = contents.training.run if contents.training else None
    pseudo = f"and {plural(run.pseudo_images, 'image')} labeled by machines" if run else ""
    return (
        Fact(f"mAP on {split}", share(metrics.map if metrics else None), ends),
        Fact("images labeled by people", count(run.labeled_images if run else None), pseudo),
        Fact("training steps", count(run.steps if run else None), _ENDED[run.ended_by] if run else ""),
        Fact("of training", duration(run.train_seconds) if run else NOTHING, ""),
    )


def _details(contents: ModelContents) -> tuple[Detail, ...]:
    card, run = contents.card, contents.training.run if contents.training else None
    version = f"version {card.dataset_version}"
    details: list[Detail] = [
        ("Model", (contents.model_id,)),
        ("Trained in", (_cycle_link(contents, card.cycle),)),
        ("Learnt from", (Link(version, up(version_page(card.dataset_version))) if contents.has_version else version,)),
        ("Began with", (_parent(contents),)),
        ("Network", (f"{card.detector.architecture}, {card.detector.backbone}",)),
        ("Input", (f"{count(card.detector.image_size_px)} pixels on the longest side",)),
        ("Classes", (", ".join(card.labels),)),
        ("Computed in", (run.precision,) if run and run.precision else ()),
        ("Speed", (f"{run.images_per_s:.1f} images per second",) if run else ()),
        ("Seed", (str(card.seed),)),
        ("Promoted in", _reign(contents)),
        ("Mined in", tuple(_cycle_link(contents, number) for number in contents.mined_in)),
        ("Taught on to", tuple(Link(short_id(name), up(model_page(name))) for name in contents.learners)),
        ("Weights", (f"SHA-256 {card.weights_sha256}",) if card.weights_sha256 else ()),
    ]
    return tuple(detail for detail in details if detail[1])


def _reign(contents: ModelContents) -> tuple[Cell, ...]:
    if contents.reign is None:
        return ()
    began, end = contents.reign
    replaced = () if end is None else (f"replaced in cycle {end}",)
    return (_cycle_link(contents, began), *replaced)


def _settings(contents: ModelContents) -> Table:
    rows = [
        (f"{section}.{key}", json.dumps(value, ensure_ascii=False))
        for section, values in settings_of(contents.card).items()
        for key, value in values.items()
    ]
    return text_table("Settings that differ from the defaults", ("Setting", "Value"), rows)


def _every_setting(contents: ModelContents) -> str:
    sections = {"detector": contents.card.detector, "training": contents.card.training}
    return json.dumps(
        {name: own.model_dump(mode="json") for name, own in sections.items()}, indent=2, ensure_ascii=False
    )


def _gap(gate: GateOutcome) -> str:
    if gate.gap is None:
        return ""
    return f"Against the champion of its time it gains {change(gate.gap[0])} to {change(gate.gap[1])} mAP (95 %)."


def _files(contents: ModelContents) -> Table:
    rows = tuple((name, f"{size / 1e6:.2f}") for name, size in contents.files)
    return Table("Files beside its card", (Column("File", numeric=False), Column("MB")), rows)


def _cycle_link(contents: ModelContents, number: int) -> Cell:
    return Link(f"cycle {number}", up(page_name(number))) if number in contents.pages else f"cycle {number}"


def _parent(contents: ModelContents) -> Cell:
    parent = contents.card.parent_id
    if parent is None:
        return f"{contents.card.detector.weights} weights"
    return Link(short_id(parent), up(model_page(parent))) if contents.has_parent else short_id(parent)
