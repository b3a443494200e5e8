"""Files and Delta tables in S3 (a real moto server): what is listed, what is new, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from slipstream.errors import SlipstreamError
from slipstream.sources.delta import DeltaSource
from slipstream.sources.files import FilesSource
from slipstream.spec.model import ModelSpec
from slipstream.store.location import Location

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


def test_a_delta_table_in_s3_brings_what_was_appended(
    bucket: Any, make_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    spec, source = make_spec(), DeltaSource(f"s3://{BUCKET}/shops/one")
    with pytest.raises(SlipstreamError) as refused:
        source.fingerprint(spec, "")
    assert refused.value.code == "source_table_unknown"
    options = Location.parse(f"s3://{BUCKET}").delta_options()
    watermark = ""
    for number in range(3):
        write_deltalake(f"s3://{BUCKET}/shops/one", pa.table({"a": [number]}), mode="append", storage_options=options)
        if number:
            delivery = source.deliver(spec, watermark, tmp_path)
            (file,) = delivery.files
            assert pq.read_table(file).column("a").to_pylist() == ([0, 1] if number == 1 else [2])
            watermark = delivery.watermark
    assert source.fingerprint(spec, watermark) is None
    bucket.delete_object(Bucket=BUCKET, Key=f"shops/one/_delta_log/{2:020}.json")
    with pytest.raises(SlipstreamError) as refused:
        source.fingerprint(spec, watermark)
    assert refused.value.code == "source_history_lost"
