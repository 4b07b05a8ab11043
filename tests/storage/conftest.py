"""A local S3 service, with the credentials that a person has in the environment, and a bucket for each test."""

from __future__ import annotations

from uuid import uuid4

import boto3
import pytest

from tests.s3_server import s3_server


@pytest.fixture(scope="session")
def s3_address():
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def s3(s3_address):
    """A client of the service, to look past the product into buckets."""
    values = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_address,
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield boto3.client("s3")


def new_bucket(client) -> str:
    name = f"bucket-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(s3):
    return new_bucket(s3)


@pytest.fixture
def root(bucket):
    """Where a test has its files."""
    return f"s3://{bucket}/a project"
