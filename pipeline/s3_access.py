"""How another library reaches S3 as s3fs does, with the same credentials, region and endpoint."""

from __future__ import annotations

from urllib.parse import urlsplit

from fsspec.asyn import sync

from pipeline.object_storage import OBJECT_STORES, files_at, protocol_of, reaching

_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn")


def s3_options(uri: str) -> dict[str, str] | None:
    """What the library of Delta Lake has to be told, which by itself knows no profiles and no endpoint over http.

    Args:
        uri: Of anything.

    Returns:
        Options by name; None where the URI is not one of S3. They hold secrets, some of which expire: use them once.

    Raises:
        RemoteError: There are no credentials.
    """
    if OBJECT_STORES.get(protocol_of(uri)) != "s3":
        return None
    files, _ = files_at(uri)
    with reaching(uri, absent=()):
        files.connect()
        credentials = sync(files.loop, files.session.get_credentials)
        options = {"aws_region": files.s3.meta.region_name}
        if credentials is not None:
            keys = sync(files.loop, credentials.get_frozen_credentials)
            options |= {
                "aws_access_key_id": keys.access_key,
                "aws_secret_access_key": keys.secret_key,
                "aws_session_token": keys.token,
            }
    endpoint = files.s3.meta.endpoint_url
    if not (urlsplit(endpoint).hostname or "").endswith(_OF_AWS):
        options |= {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}
    return {name: value for name, value in options.items() if value}
