import json

import pytest
from scipy.stats import beta

from pipeline.errors import ArtefactError
from pipeline.report import read_artefact
from pipeline.report.artefacts import Harvest, Opening, Version
from pipeline.report.measures import AuditCount, Certificates, ClassMetrics, Gate, Metrics
from tests.report.builders import metrics


def test_an_artefact_comes_back_from_json_with_its_types():
    text = json.dumps({"target": 0.95, "confidence": 0.9, "classes": {}, "unknown": 1})
    assert read_artefact(Certificates, json.loads(text), "certificates.json") == Certificates(0.95, 0.9, {})
    opening = {"cycle": 3, "opened_at": "2026-01-02T03:04:05+00:00", "settings_digest": "ab", "seed": 1, "name": "x"}
    assert read_artefact(Opening, opening, "cycle.json").opened_at.year == 2026
    notes = read_artefact(Harvest, {"answered": 1, "notes": [["task 1", "rotated"]]}, "harvest.json").notes
    assert notes == (("task 1", "rotated"),)
    audit = read_artefact(dict[str, AuditCount], {"bolt": {"boxes": 2, "right": 1}}, "audit.json")
    assert audit == {"bolt": AuditCount(2, 1)}


def test_metrics_keep_their_numbers():
    values = {"candidate": "a", "champion": None, "promoted": True, "why": "first", "val": metrics(0.4)}
    gate = read_artefact(Gate, values, "metrics.json")
    assert (gate.val.map, gate.val.interval, gate.val.map_small) == (0.4, (0.37, 0.43), None)
    assert gate.val.per_class["bolt"].ap == 0.3
    assert (gate.test, gate.champion_val) == (None, None)


def test_minus_one_is_read_as_nothing_to_measure():
    values = {**metrics(0.4), "map_large": -1.0, "per_class": {"bolt": {"ap": -1.0, "ap50": 0.0, "n": 0.0}}}
    found = read_artefact(Metrics, values, "metrics.json")
    assert found.map_large is None
    assert found.per_class["bolt"] == ClassMetrics(ap=None, ap50=0.0, n=0)


def test_a_missing_key_and_a_wrong_type_are_both_named():
    values = {"cycle": "three", "opened_at": "2026-01-02T03:04:05+00:00", "seed": 1, "name": "x"}
    with pytest.raises(ArtefactError, match=r"cycle.json: expected .*cycle: .*integer.*settings_digest: .*required"):
        read_artefact(Opening, values, "cycle.json")


@pytest.mark.parametrize(
    ("counts", "group", "name", "expected"),
    [({}, "images", None, 0), ({"images": {"pool": 3, "queued": 2}}, "images", None, 5)]
    + [({"images": {"pool": 3}}, "images", name, number) for name, number in (("pool", 3), ("queued", 0))],
)
def test_a_version_counts_what_it_knows(counts, group, name, expected):
    version = Version(0, None, read_artefact(Opening, _opening(), "cycle.json").opened_at, "import", counts=counts)
    assert version.count(group, name) == expected


@pytest.mark.parametrize(("boxes", "right"), [(0, 0), (1, 0), (1, 1), (62, 60), (500, 480)])
def test_the_interval_of_an_audit_is_clopper_pearson(boxes, right):
    one = AuditCount(boxes, right)
    if not boxes:
        assert (one.precision, one.interval) == (None, None)
        return
    lower = beta.ppf(0.025, right, boxes - right + 1) if right else 0.0
    upper = beta.ppf(0.975, right + 1, boxes - right) if right < boxes else 1.0
    assert one.interval == pytest.approx((lower, upper))
    assert one.precision == right / boxes


def _opening():
    return {"cycle": 0, "opened_at": "2026-01-02T03:04:05Z", "settings_digest": "ab", "seed": 1, "name": "x"}
