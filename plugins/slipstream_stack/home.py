"""What must be there before the first process starts: folders, secrets, a password, Airflow's database.

Everything is made once and never overwritten, so a second call costs milliseconds and changes nothing.
"""

from __future__ import annotations

import base64
import configparser
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from slipstream.errors import SlipstreamError
from slipstream.settings import ENDPOINT_FILE
from slipstream_stack.settings import USER, Layout, Ports, airflow_options, process_environment

_MIGRATE_SECONDS = 300


class SetupError(SlipstreamError):
    """The home of the stack cannot be made; the text says what to do."""

    code = "setup_failed"


def prepare(layout: Layout, ports: Ports) -> str | None:
    """Make the folders, secrets, configuration and database of *layout*, as far as they are missing.

    Returns:
        The password of the user ``admin`` if it was made by this call: the only time that it is told.

    Raises:
        SetupError: If a folder cannot be written or the database cannot be migrated.
    """
    _make_folders(layout)
    password = _make_password(layout.passwords)
    _write_configuration(layout, ports)
    leave_address(layout, ports)
    _migrate(layout, ports)
    return password


def leave_address(layout: Layout, ports: Ports) -> None:
    """Write where the endpoint answers, for the command line: it knows nothing of this stack's settings."""
    (layout.var / ENDPOINT_FILE).write_text(ports.endpoint_url + "\n")


def _make_folders(layout: Layout) -> None:
    closed = {layout.keys, layout.run, layout.airflow_home}
    folders = [layout.var, layout.logs, layout.logs / "tasks", layout.bentos, *closed]
    if layout.store.startswith("file://"):
        folders.append(Path(layout.store.removeprefix("file://")))
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for folder in closed:
            folder.chmod(0o700)
    except OSError as error:
        raise SetupError(f"set-up: cannot make {error.filename}: {error.strerror}; make it writable") from error


def _make_password(path: Path) -> str | None:
    """Make the user's password if there is none.

    Returns:
        The password if it is new, else None.
    """
    password = secrets.token_urlsafe(12)
    return password if _create(path, json.dumps({USER: password}) + "\n") else None


def _secret(path: Path, value: str) -> str:
    """The secret kept in *path*; *value* becomes it if there is none yet."""
    _create(path, value + "\n")
    return path.read_text().strip()


def _create(path: Path, text: str) -> bool:
    """Write *text* to *path*, mode 0600, whole or not at all; False if the file was there."""
    if path.exists():
        return False
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:  # another set-up was first
        return False
    finally:
        draft.unlink()
    return True


def _write_configuration(layout: Layout, ports: Ports) -> None:
    """Write ``airflow.cfg``: the secrets, and the options again so that a bare ``airflow`` command agrees.

    The processes of the stack have the options in their environment; only the secrets are in this file alone, where
    no task log can show them.
    """
    keys = layout.keys
    options = airflow_options(layout, ports) | {
        ("core", "fernet_key"): _secret(
            keys / "airflow_fernet_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        ),
        ("api", "secret_key"): _secret(keys / "airflow_secret_key", secrets.token_urlsafe(48)),
        ("api_auth", "jwt_secret"): _secret(keys / "airflow_jwt_secret", secrets.token_urlsafe(96)),
    }
    parser = configparser.RawConfigParser()
    for (section, option), value in sorted(options.items()):
        if not parser.has_section(section):
            parser.add_section(section)
        parser.set(section, option, value.replace("%", "%%"))
    path = layout.airflow_home / "airflow.cfg"
    draft = path.with_name(f"airflow.cfg.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write("# Written by slipstream_stack.home at every start: change slipstream_stack/settings.py.\n")
        parser.write(file)
    draft.replace(path)


def _migrate(layout: Layout, ports: Ports) -> None:
    stamp = layout.airflow_home / "migrated"
    version = importlib.metadata.version("apache-airflow-core")
    database = layout.airflow_home / "airflow.db"
    if database.exists() and stamp.exists() and stamp.read_text() == version:
        return
    log = layout.logs / "migrate.log"
    env = process_environment(layout, ports, os.environ)
    with log.open("w") as out:
        code = _run([sys.executable, "-m", "airflow", "db", "migrate"], env, out.fileno())
    if code != 0:
        raise SetupError(f"set-up: `airflow db migrate` ended with {code}; its output is in {log}")
    stamp.write_text(version)


def _run(command: list[str], env: Mapping[str, str], out: int) -> int:
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            timeout=_MIGRATE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode
