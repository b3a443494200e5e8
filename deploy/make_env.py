"""Write .env for docker-compose.yaml with fresh random secrets, mode 0600; needs only Python, never overwrites."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path


def make_env() -> str:
    """The text of a new .env. Hexadecimal, because some of them become parts of URLs."""
    values = {
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(64),
        "ENDPOINT_KEY": f"slipstream_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}",
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "S3_ACCESS_KEY": f"slipstream{secrets.token_hex(4)}",
        "S3_SECRET_KEY": secrets.token_hex(20),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def main(path: Path) -> None:
    """Write *path*, or say that it is there already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        sys.exit(f"{path} exists and is kept; delete it to make new secrets (the old data then cannot be opened).")
    with os.fdopen(descriptor, "w") as file:
        file.write(make_env())
    sys.stdout.write(f"{path} written. The password of the user admin is AIRFLOW_ADMIN_PASSWORD in it.\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".env"))
