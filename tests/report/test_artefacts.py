"""The records that the pages read, and how they come back from their files."""

import json

import pytest
from scipy.stats import beta

from pipeline.artefacts import (
    AuditCount,
    Certificates,
    CycleHarvest,
    HiddenTruthAudit,
    Opening,
)
from pipeline.dataset.versions import Version
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from tests.report.builders import (
    MOMENT,
    NOT_MEASURED,
    calibration,
    certificate,
    certificates,
    gate,
    mining,
    opening,
    training,
)

RECORDS = [
    opening(),
    gate(1, 0.4),
    gate(0, 0.4, test=NOT_MEASURED),
    training(),
    calibration(),
    certificates(certificate(), certificate("nut", certified=False)),
    mining(),
    CycleHarvest(answered=1, notes=(("task 1", "rotated"),), audits={0: {"bolt": AuditCount(2, 1)}}),
    HiddenTruthAudit(labels={"bolt": AuditCount(2, 1)}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_from_its_file_with_its_types(tmp_path, record):
    folder = Folder(tmp_path)
    folder.write_record(record.FILE, record)
    assert folder.read_record(record.FILE, type(record)) == record


def test_keys_of_another_release_are_left_out(tmp_path):
    record = certificates(certificate())
    folder = Folder(tmp_path)
    folder.write_record("certificates.json", record)
    values = json.loads((tmp_path / "certificates.json").read_text())
    folder.write_json("certificates.json", {**values, "unheard_of": 1})
    assert folder.read_record("certificates.json", Certificates) == record


def test_a_missing_key_and_a_wrong_type_are_both_named(tmp_path):
    values = {"cycle": "three", "opened_at": "2026-01-02T03:04:05+00:00", "seed": 1, "name": "x"}
    Folder(tmp_path).write_json("cycle.json", values)
    expected = r"cycle.json: expected a Opening, got cycle: .*integer.*settings_digest: .*required.*crosscheck cycle"
    with pytest.raises(ArtefactError, match=expected):
        Folder(tmp_path).read_record("cycle.json", Opening)


def test_a_split_without_true_boxes_was_not_measured():
    outcome = gate(1, 0.4, test=NOT_MEASURED)
    assert outcome.on("test") is None
    assert outcome.on("val") is outcome.val


@pytest.mark.parametrize(
    ("counts", "group", "name", "expected"),
    [({}, "images", None, 0), ({"images": {"pool": 3, "queued": 2}}, "images", None, 5)]
    + [({"images": {"pool": 3}}, "images", name, number) for name, number in (("pool", 3), ("queued", 0))],
)
def test_a_version_counts_what_it_holds(counts, group, name, expected):
    assert Version(0, None, MOMENT, "import", counts=counts).count(group, name) == expected


@pytest.mark.parametrize(("boxes", "right"), [(0, 0), (1, 0), (1, 1), (62, 60), (500, 480)])
def test_the_interval_of_an_audit_is_clopper_pearson(boxes, right):
    audit = AuditCount(boxes, right)
    if not boxes:
        assert (audit.precision, audit.interval) == (None, None)
        return
    lower = beta.ppf(0.025, right, boxes - right + 1) if right else 0.0
    upper = beta.ppf(0.975, right + 1, boxes - right) if right < boxes else 1.0
    assert audit.interval == pytest.approx((lower, upper))
    assert audit.precision == right / boxes
