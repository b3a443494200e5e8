"""The files source over S3 (a real moto server): what is listed, what is new, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipstream.errors import SlipstreamError
from slipstream.sources.files import FilesSource
from slipstream.spec.model import ModelSpec

pytestmark = pytest.mark.server
BUCKET = "raw"


@pytest.fixture
def bucket(s3: str) -> Any:
    """A client of an S3 server with an empty bucket."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    return client


def test_objects_are_files(bucket: Any, make_spec: Callable[..., ModelSpec], tmp_path: Path) -> None:
    spec = make_spec()
    source = FilesSource(f"s3://{BUCKET}/in/*.csv")
    with pytest.raises(SlipstreamError) as refused:
        source.fingerprint(spec, "")
    assert refused.value.code == "source_no_files"

    for key, body in {
        "in/2.csv": b"a\n2\n",
        "in/1.csv": b"a\n1\n",
        "in/deep.txt": b"x",
        "out/3.csv": b"a\n3\n",
    }.items():
        bucket.put_object(Bucket=BUCKET, Key=key, Body=body)
    first = source.deliver(spec, "", tmp_path)
    assert tuple(first.files.values()) == (f"s3://{BUCKET}/in/1.csv", f"s3://{BUCKET}/in/2.csv")
    assert [path.read_bytes() for path in first.files] == [b"a\n1\n", b"a\n2\n"]
    assert source.fingerprint(spec, first.watermark) is None

    bucket.put_object(Bucket=BUCKET, Key="in/copy.csv", Body=b"a\n1\n")
    assert source.fingerprint(spec, first.watermark) is None
    bucket.put_object(Bucket=BUCKET, Key="in/1.csv", Body=b"a\n7\n")
    again = source.deliver(spec, first.watermark, tmp_path)
    assert [path.read_bytes() for path in again.files] == [b"a\n7\n"]

    with pytest.raises(SlipstreamError) as refused:
        FilesSource(f"s3://{BUCKET}/in/*.csv", max_bytes=5).deliver(spec, "", tmp_path)
    assert refused.value.code == "source_too_large"
    with pytest.raises(SlipstreamError, match="NoSuchBucket") as refused:
        FilesSource("s3://nowhere/*.csv").fingerprint(spec, "")
    assert refused.value.code == "source_unreadable"
    assert "test" not in str(refused.value).split("NoSuchBucket")[1]
