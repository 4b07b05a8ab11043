"""`crosscheck review` as people and programs meet it."""

from io import StringIO

import pandas as pd
import pytest

from tests.cli.conftest import copy_of


@pytest.fixture(scope="module")
def project(after_one_cycle, tmp_path_factory):
    """A project of its own: a harvest here is no other test's affair."""
    return copy_of(after_one_cycle, tmp_path_factory.mktemp("reviewed"))


def test_labels_are_listed_sent_and_taken_back(printed, crosscheck, project):
    listed = printed("review", "list", "--images", 5)
    assert len(listed["first"]) == min(5, listed["images"])
    assert all(row["reason"].startswith("labels to review; ") for row in listed["first"])
    table = crosscheck("review", "list", "--images", 5, config=project).stdout
    assert f"Labels to review: {len(listed['first'])} of {listed['images']} images" in table
    rows = pd.read_csv(StringIO(crosscheck("review", "list", "--images", 5, "--csv", config=project).stdout))
    assert rows["image_id"].tolist() == [row["image_id"] for row in listed["first"]]
    assert rows["gain"].is_monotonic_decreasing


def test_images_that_the_annotator_does_not_know_are_refused(printed):
    """The simulated annotator has labels of the pool alone, and nothing of it is answered yet."""
    listed = printed("review", "list", "--images", 3)
    pushed = printed("review", "push", "--images", 3)
    assert (pushed["created"], len(pushed["refused"])) == (0, len(listed["first"]))
    assert printed("harvest")["reviews"]["answered"] == 0
