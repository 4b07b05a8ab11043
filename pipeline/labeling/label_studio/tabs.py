"""The tabs of the table of tasks: each answers one question of a lead."""

from __future__ import annotations

from typing import Any

from pipeline.labeling.label_studio.client import Client, Json
from pipeline.labeling.label_studio.verification import COMPLETE, questions
from pipeline.records import TaskKind

WITHDRAWN = "withdrawn"
"""The kind, in a task's data, of a task that nobody is asked any more."""

DISPUTED = "disputed"
"""The field of a task's data that says `yes` where people disagree."""

_FORMER = "crosscheck: "
"""What the titles of these tabs began with once; nobody else's do."""

_REASON_PX = 420
_RAW = [
    *(f"tasks:data.{name}" for name in questions(verify=False)),
    *(f"tasks:data.{name}" for name in ("value", "proposals", DISPUTED)),
]
"""Columns that tell people nothing: data for the page itself, and the number that sorts the queue, which has a rank."""
_NOISE = [
    *_RAW,
    *(f"tasks:data.{name}" for name in ("image_id", "model_id", "width", "height")),
    *("tasks:inner_id", "tasks:annotations_results", "tasks:annotations_ids", "tasks:file_upload", "tasks:updated_by"),
    *("tasks:predictions_score", "tasks:predictions_model_versions", "tasks:predictions_results"),
    *("tasks:storage_filename", "tasks:created_at", "tasks:avg_lead_time", "tasks:draft_exists", "tasks:completed_at"),
    *("tasks:updated_at", "tasks:total_predictions"),
]
_FACTS = [
    *(f"tasks:data.{name}" for name in ("rank", "reason", "kind", "cycle")),
    *("tasks:annotators", "tasks:total_annotations", "tasks:cancelled_annotations"),
]


def _where(field: str, operator: str, value: Any) -> Json:
    kind = "String" if isinstance(value, str) else "Number"
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def _tab(title: str, *conditions: Json, ordering: str = "-tasks:data.value") -> Json:
    return {
        "title": title,
        "type": "list",
        "target": "tasks",
        "ordering": [ordering],
        "filters": {"conjunction": "and", "items": list(conditions)},
        "columnsWidth": {"tasks:data.reason": _REASON_PX},
        "hiddenColumns": {"explore": _NOISE, "labeling": [*_NOISE, *_FACTS]},
    }


TABS = (
    _tab(
        "best first",
        _where("total_annotations", "equal", 0),
        _where("cancelled_annotations", "equal", 0),
        _where("data.kind", "not_equal", WITHDRAWN),
    ),
    _tab("answered", _where("total_annotations", "greater", 0), ordering="-tasks:completed_at"),
    _tab("audit", _where("data.kind", "equal", TaskKind.AUDIT.value)),
    _tab("blind", _where("data.kind", "equal", TaskKind.BLIND.value)),
    _tab("to verify", _where("data.kind", "equal", TaskKind.VERIFY.value), _where("total_annotations", "equal", 0)),
    _tab(
        "left open",
        _where("data.kind", "equal", TaskKind.VERIFY.value),
        _where("total_annotations", "greater", 0),
        _where("annotations_results", "not_contains", COMPLETE),
    ),
    _tab("skipped", _where("cancelled_annotations", "greater", 0)),
    _tab("disagreement", _where(f"data.{DISPUTED}", "equal", "yes")),
)
"""What is of no use to people is hidden, in the table and beside the image."""


def ensure_tabs(client: Client, project: int) -> None:
    """Make tabs that are missing, and give those that are there their order and filters back.

    Whoever sorts or filters a tab in the page changes it for everybody; columns stay as people have them, but for raw
    data, which a tab of an older release would show. Tabs that were made under their former titles become those of
    today; tabs of people's own are left alone.

    Args:
        client: The server.
        project: The project.
    """
    there = {view["data"].get("title"): view for view in client.views(project) if view.get("data")}
    for wanted in TABS:
        view, former = there.get(wanted["title"]), there.get(_FORMER + wanted["title"])
        if view is None and former is not None:
            client.update_view(project, former["id"], wanted)
        elif view is None:
            client.create_view(project, wanted)
        elif _rule(view["data"]) != _rule(wanted) or _hidden(view["data"]) != _without_raw(view["data"]):
            rule = {name: wanted[name] for name in ("ordering", "filters")}
            client.update_view(
                project, view["id"], {**view["data"], **rule, "hiddenColumns": _without_raw(view["data"])}
            )
        if view is not None and former is not None:  # a release in between made today's beside the former one
            client.delete_view(former["id"])


def _hidden(data: Json) -> dict[str, list[str]]:
    hidden = data.get("hiddenColumns") or {}
    return {place: list(hidden.get(place) or []) for place in ("explore", "labeling")}


def _without_raw(data: Json) -> dict[str, list[str]]:
    return {place: list(dict.fromkeys([*columns, *_RAW])) for place, columns in _hidden(data).items()}


def _rule(data: Json) -> tuple[Any, ...]:
    filters = data.get("filters") or {}
    items = [{name: item.get(name) for name in _where("", "", "")} for item in filters.get("items") or []]
    return data.get("ordering"), filters.get("conjunction"), items
