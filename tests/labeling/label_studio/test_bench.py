"""`crosscheck bench labeling` at the real server; what it measures is not tested, that it measures is."""

import pytest
from pydantic import SecretStr

from pipeline.bench.labeling import STEPS, bench_labeling

pytestmark = pytest.mark.label_studio


@pytest.mark.parametrize("boxes", [0, 3])
def test_the_benchmark_proves_its_counts_and_leaves_nothing_behind(server, people, boxes):
    def titles():
        return [one["title"] for one in people[0].session.get("/api/projects/").json()["results"]]

    before = titles()
    told = bench_labeling(server.url, SecretStr(server.api_key), tasks=7, boxes=boxes, renewed=4, page_size=3)
    assert (told["tasks"], told["boxes"], told["renewed"], tuple(told["seconds"])) == (7, 7 * boxes, 4, STEPS)
    assert titles() == before
