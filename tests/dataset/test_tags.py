"""Names of versions: given, moved, taken away, and understood wherever a version is meant."""

import re

import pytest

from pipeline.dataset.tags import Tags, find_version, read_tags, remove_tag, tag_version
from pipeline.errors import ArtefactError
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(str(tmp_path / "project"))


def test_before_the_first_name_there_is_none(workspace):
    assert read_tags(workspace) == Tags()
    assert Tags().of(0) == []


def test_names_are_given_moved_and_taken_away(workspace):
    tag_version(workspace, "release-3", 12)
    tag_version(workspace, "audited", 12)
    tag_version(workspace, "release-3", 12)
    assert read_tags(workspace).of(12) == ["audited", "release-3"]
    with pytest.raises(ArtefactError, match=r"release-3 is version 12\. --move takes it from there"):
        tag_version(workspace, "release-3", 13)
    tag_version(workspace, "release-3", 13, move=True)
    remove_tag(workspace, "audited")
    assert read_tags(workspace).versions == {"release-3": 13}
    with pytest.raises(ArtefactError, match="Expected one of the tags release-3, got 'audited'"):
        remove_tag(workspace, "audited")


@pytest.mark.parametrize("name", ["", "12", "3.1", "-x", "a b", "a/b", "champion", "latest", "a" * 101])
def test_what_cannot_be_a_name(workspace, name):
    with pytest.raises(ValueError, match=f"got {re.escape(repr(name))}"):
        tag_version(workspace, name, 0)
    assert read_tags(workspace) == Tags()


@pytest.mark.parametrize(("name", "number"), [("0", 0), ("99", 99), ("latest", 7), ("champion", 3), ("release", 5)])
def test_a_version_is_found_by_what_it_is_called(name, number):
    assert find_version(name, Tags({"release": 5}), latest=7, champion=3) == number


@pytest.mark.parametrize("name", ["champion", "other", "", "-1", "1.0"])
def test_what_nothing_is_called(name):
    with pytest.raises(
        ArtefactError, match=rf"from 0 to 7 or one of the tags latest, release, got '{re.escape(name)}'"
    ):
        find_version(name, Tags({"release": 5}), latest=7, champion=None)
