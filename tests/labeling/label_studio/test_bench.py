"""`crosscheck bench labeling` at the real server; what it measures is not tested, that it measures is."""

import pytest
from pydantic import SecretStr

from pipeline.bench.labeling import STEPS, Load, bench_labeling

pytestmark = pytest.mark.label_studio


@pytest.mark.parametrize("boxes", [0, 3])
def test_the_benchmark_proves_its_counts_and_leaves_nothing_behind(server, people, boxes):
    def titles():
        return [project["title"] for project in people[0].session.get("/api/projects/").json()["results"]]

    before = titles()
    result = bench_labeling(server.url, SecretStr(server.api_key), Load(tasks=7, boxes=boxes, renewed=4, page_size=3))
    assert (result.load.tasks, result.answered_boxes, tuple(result.seconds)) == (7, 7 * boxes, STEPS)
    assert titles() == before
