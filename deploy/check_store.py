"""Make the bucket of SLIPSTREAM_STORE if it is missing, and prove what the ledger rests on.

The ledger commits with "create only if absent". Some S3 servers ignore that, or keep it only while nobody races, and
would lose events without a word. So writers race here before anything is stored: exactly one may win each round.
"""

from __future__ import annotations

import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slipstream.errors import SlipstreamError, StoreError
from slipstream.settings import Settings
from slipstream.store.location import Location

ROUNDS, WRITERS = 20, 8


def check_store(url: str, rounds: int = ROUNDS, writers: int = WRITERS) -> str:
    """Prepare the store at *url*; returns what was found, in one sentence.

    Raises:
        StoreError: the bucket cannot be made, or the server let two writers create the same object.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    location = Location.parse(url)
    if location.root is not None:
        location.root.mkdir(parents=True, exist_ok=True)
        return f"{url}: a local folder, nothing to prove."
    client = location.s3.client
    try:
        made = _make_bucket(client, location.bucket)
        with ThreadPoolExecutor(writers) as pool:
            for number in range(rounds):
                _race(client, location, number, writers, pool)
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"{url}: {error}; check AWS_ENDPOINT_URL, the keys and the bucket.") from error
    bucket = "bucket made" if made else "bucket found"
    return f"{url}: {bucket}; {rounds} races of {writers} writers had one winner each."


def _make_bucket(client: Any, bucket: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)
        return True
    return False


def _race(client: Any, location: Location, number: int, writers: int, pool: ThreadPoolExecutor) -> None:
    """Let all *writers* create one object at once; raises StoreError unless exactly one does."""
    from botocore.exceptions import ClientError

    key = location.object_key("probe", f"{uuid.uuid4().hex}-{number}")

    def create(writer: int) -> bool:
        try:
            client.put_object(Bucket=location.bucket, Key=key, Body=str(writer).encode(), IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {409, 412}:
                raise
            return False
        return True

    won = sum(pool.map(create, range(writers)))
    client.delete_object(Bucket=location.bucket, Key=key)
    if won != 1:
        raise StoreError(
            f"{location.url}: {won} of {writers} writers created the same object; this S3 server does not keep "
            "'If-None-Match: *', so it cannot hold a store. Use one that does (see docs/scaling.md)."
        )


if __name__ == "__main__":
    try:
        sys.stdout.write(check_store(Settings.from_environment().store) + "\n")
    except SlipstreamError as error:
        sys.exit(f"error [{error.code}]: {error}")
