import pytest

from pipeline.labeling.label_studio.image_access import image_address
from pipeline.settings.labeling import LabelStudioSettings

LOCAL = LabelStudioSettings(document_root="/data/root")
REMOTE = LabelStudioSettings(image_access="url")
BUCKET = LabelStudioSettings(image_access="storage")


@pytest.mark.parametrize(
    ("settings", "uri", "address"),
    [
        (LOCAL, "/data/root/bccd/a.jpg", "/data/local-files/?d=bccd/a.jpg"),
        (LOCAL, "file:///data/root/bccd/a%20b.jpg", "/data/local-files/?d=bccd/a%20b.jpg"),
        (LOCAL, "/data/root/x/50% & #1?.jpg", "/data/local-files/?d=x/50%25%20%26%20%231%3F.jpg"),
        (LOCAL, "/data/root/ü/a.jpg", "/data/local-files/?d=%C3%BC/a.jpg"),
        (REMOTE, "https://example.com/a.jpg?b=c", "https://example.com/a.jpg?b=c"),
        (REMOTE, "s3://bucket/a.jpg", "s3://bucket/a.jpg"),
        (BUCKET, "s3://bucket/line 3/a.jpg", "s3://bucket/line 3/a.jpg"),
        (BUCKET, "gs://bucket/a.jpg", "gs://bucket/a.jpg"),
    ],
)
def test_address(settings, uri, address):
    assert image_address(uri, settings) == address


@pytest.mark.parametrize(
    ("settings", "uri", "reason"),
    [
        (LOCAL, "/data/rooted/a.jpg", "below the document root /data/root"),
        (LOCAL, "/data/root/../secret/a.jpg", "below the document root"),
        (LOCAL, "images/a.jpg", "below the document root"),
        (LOCAL, "/data/root/a.jpg", "Move it into a subfolder"),
        (LOCAL, "s3://bucket/a.jpg", "image_access to storage"),
        (LOCAL, "https://example.com/a.jpg", "image_access to url"),
        (BUCKET, "/data/root/a.jpg", "image_access to local_files"),
        (BUCKET, "https://example.com/a.jpg", "image_access to url"),
        (REMOTE, "/data/root/a.jpg", "image_access to local_files"),
        (REMOTE, "file:///a.jpg", "image_access to local_files"),
    ],
)
def test_refusal_names_the_file_and_the_way_out(settings, uri, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        image_address(uri, settings)
    assert str(caught.value).startswith(uri)
