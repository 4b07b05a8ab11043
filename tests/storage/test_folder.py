"""A folder of a workspace on S3, as several machines use it."""

from __future__ import annotations

import pytest

from pipeline.errors import ArtefactError, RemoteError
from pipeline.folder import Folder


@pytest.fixture
def folder(root):
    return Folder(root)


def test_files_round_trip_and_are_removed(folder, bucket):
    assert folder.uri == f"s3://{bucket}/a project"
    assert folder.names() == []
    assert not folder.exists("file")
    folder.write_bytes("file", b"older")
    folder.write_bytes("file", b"newer")
    folder.folder("below").write_json("record", {"a": 1})
    assert folder.read_bytes("file") == b"newer"
    assert folder.size("file") == 5
    assert folder.names() == ["below", "file"]
    assert folder.exists("below")
    folder.remove("below")
    folder.remove("file")
    assert folder.names() == []
    with pytest.raises(ArtefactError, match=r"Expected s3://.*/file, found nothing"):
        folder.read_bytes("file")


def test_what_others_write_and_remove_is_seen_after_a_listing(folder, bucket, s3):
    """Listings are not remembered: other machines and the writer of the table know nothing of them."""
    folder.write_bytes("one", b"1")
    assert folder.names() == ["one"]
    s3.put_object(Bucket=bucket, Key="a project/two", Body=b"22")
    s3.delete_object(Bucket=bucket, Key="a project/one")
    assert folder.exists("two")
    assert not folder.exists("one")
    assert folder.size("two") == 2
    assert folder.names() == ["two"]


def test_the_marker_by_which_a_console_shows_a_folder_is_no_file(folder, bucket, s3):
    s3.put_object(Bucket=bucket, Key="a project/", Body=b"")
    folder.write_bytes("one", b"1")
    assert folder.names() == ["one"]


def test_no_bucket_is_made_by_the_way(s3):
    with pytest.raises(RemoteError, match=r"^s3://there-is-none/x/file: the storage refuses: .*Make the bucket"):
        Folder("s3://there-is-none/x").write_bytes("file", b"")
    assert "there-is-none" not in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_a_damaged_table_is_named(folder):
    folder.write_bytes("table.parquet", b"PAR1 and no more")
    with pytest.raises(ArtefactError, match=r"table.parquet: expected parquet, got"):
        folder.read_table("table.parquet")
