from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import ArtefactError
from pipeline.mining.consistency import gather_evidence
from pipeline.records import CHECK_SCHEMA, EVIDENCE_FIELDS, PROPOSAL_SCHEMA

NAMES = [name for name, _ in EVIDENCE_FIELDS]


def proposals(*ids):
    return pa.Table.from_pylist([{"proposal_id": name} for name in ids], schema=PROPOSAL_SCHEMA)


def checks(*rows):
    """From `(proposal id, score, iou)`, those of a proposal in order; a score of 0 is a miss."""
    before = Counter()
    pastes = []
    for name, score, iou in rows:
        pastes.append({"proposal_id": name, "number": before[name], "hit": score > 0, "score": score, "iou": iou})
        before[name] += 1
    return pa.Table.from_pylist(pastes, schema=CHECK_SCHEMA)


def test_no_proposals():
    evidence = gather_evidence(proposals(), checks())
    assert evidence.schema.names == [*PROPOSAL_SCHEMA.names, *NAMES]
    assert [evidence.schema.field(name).type for name, _ in EVIDENCE_FIELDS] == [kind for _, kind in EVIDENCE_FIELDS]
    assert len(evidence) == 0


def test_a_check_of_no_proposal_is_noticed():
    with pytest.raises(ArtefactError, match="Expected checks of proposals that are there, got one of c"):
        gather_evidence(proposals("a", "b"), checks(("a", 0.5, 0.9), ("c", 0.5, 0.9)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (None, None, None, None, 0)),
        ([("a", 0.0, 0.0)], (0.0, 0.0, 0.0, 0.0, 1)),
        ([("a", 0.8, 0.9)], (0.8, 1.0, 0.9, 0.0, 1)),
        ([("a", 0.8, 0.9), ("a", 0.0, 0.0)], (0.4, 0.5, 0.9, 0.4, 2)),
        ([("a", 0.9, 0.7), ("a", 0.3, 0.8), ("a", 0.0, 0.0)], (0.4, 2 / 3, 0.75, 0.14**0.5, 3)),
    ],
    ids=["not pasted", "one miss", "one hit", "hit and miss", "two hits and a miss"],
)
def test_a_written_out_example(rows, expected):
    evidence = gather_evidence(proposals("a", "unchecked"), checks(*rows))
    columns = [evidence[name].to_pylist() for name in NAMES]
    assert [column[0] for column in columns] == pytest.approx(list(expected), abs=1e-6)
    assert [column[1] for column in columns] == [None, None, None, None, 0]


@pytest.mark.parametrize("seed", range(3))
def test_sums_equal_a_naive_loop(seed):
    random = np.random.default_rng(seed)
    ids = [f"p{number}" for number in range(30)]
    drawn = [
        (ids[number], float(score) * (score > 0.3), float(iou) * (score > 0.3))
        for number, score, iou in zip(random.integers(0, 25, 200), random.random(200), random.random(200), strict=True)
    ]
    frame = pd.DataFrame(drawn, columns=["id", "score", "iou"])
    evidence = gather_evidence(proposals(*ids), checks(*drawn)).to_pandas()
    assert evidence["proposal_id"].tolist() == ids
    for row in evidence.itertuples():
        own = frame[frame["id"] == row.proposal_id]
        hits = own[own["score"] > 0]
        if len(own) == 0:
            assert np.isnan([row.consistency, row.hit_fraction, row.mean_iou, row.spread]).all()
            continue
        assert row.checks == len(own)
        assert row.consistency == pytest.approx(own["score"].mean())
        assert row.hit_fraction == pytest.approx(len(hits) / len(own))
        assert row.mean_iou == pytest.approx(hits["iou"].mean() if len(hits) else 0.0)
        assert row.spread == pytest.approx(own["score"].std(ddof=0), abs=1e-6)


def test_the_order_of_the_checks_does_not_matter():
    random = np.random.default_rng(0)
    rows = checks(*[(f"p{index % 5}", float(score), 0.5) for index, score in enumerate(random.random(40))])
    ids = proposals(*(f"p{number}" for number in range(5)))
    shuffled = gather_evidence(ids, rows.take(random.permutation(40))).select(NAMES).to_pandas()
    pd.testing.assert_frame_equal(gather_evidence(ids, rows).select(NAMES).to_pandas(), shuffled)


def test_tables_in_several_parts():
    parts = [checks(("b", 0.5, 0.6)), checks(), checks(("a", 0.7, 0.8), ("b", 0.0, 0.0))]
    evidence = gather_evidence(pa.concat_tables([proposals("a"), proposals("b")]), pa.concat_tables(parts))
    assert evidence["consistency"].to_pylist() == pytest.approx([0.7, 0.25])
