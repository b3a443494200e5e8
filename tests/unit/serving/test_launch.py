"""`slipstream serve`: which addresses it binds, with what environment, and what it says."""

from __future__ import annotations

import dataclasses
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.errors import BackendError
from slipstream.serving.launch import (
    ListenAddress,
    address_of,
    announcement,
    check_bind,
    environment,
    fresh_run_folder,
    worker_count,
)
from slipstream.settings import Settings
from slipstream.store import Store
from slipstream.store.api_keys import create, revoke

KEY = "slipstream_0123456789ab_" + "s" * 43


@pytest.fixture
def settings(store: Store, tmp_path: Path) -> Settings:
    usual = Settings.from_environment()
    return dataclasses.replace(usual, store=store.url, bentos=tmp_path / "bentos", endpoint_key=KEY)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def place(host: str = "127.0.0.1", workers: int = 1) -> ListenAddress:
    return ListenAddress(address_of(host), 8900, workers)


class TestTheAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
    def test_this_machine_alone_needs_no_key(self, settings: Settings, host: str) -> None:
        check_bind(settings, address_of(host))
        assert not Path(settings.store.removeprefix("file://")).exists(), "the store was not asked"

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1"])
    def test_others_need_a_key_that_predicts(self, settings: Settings, store: Store, host: str) -> None:
        address = address_of(host)
        for scopes, lasts in ((["label", "metrics"], None), (["predict"], timedelta(0))):
            with pytest.raises(BackendError, match="slipstream key create") as caught:
                check_bind(settings, address)
            assert caught.value.code == "bind_not_allowed"
            create(store, "me", scopes, lasts=lasts)
        with pytest.raises(BackendError):
            check_bind(settings, address)
        made = create(store, "other", ["admin" if host == "::" else "predict"])
        check_bind(settings, address)
        revoke(store, made.issued.id)
        with pytest.raises(BackendError):
            check_bind(settings, address)

    def test_who_authenticates_in_front_says_so(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLIPSTREAM_AUTH", "off")
        check_bind(settings, address_of("0.0.0.0"))

    @pytest.mark.parametrize("host", ["", "example.com", "127.0.0.1:80", "0x7f.1", "127.1", "http://127.0.0.1"])
    def test_what_is_none(self, host: str) -> None:
        with pytest.raises(BackendError, match="is no address") as caught:
            address_of(host)
        assert caught.value.code == "bind_not_allowed"


class TestTheEnvironment:
    def test_what_every_worker_gets(self, settings: Settings, tmp_path: Path) -> None:
        base = {"PATH": "/bin", "SLIPSTREAM_ENDPOINT_KEY": KEY, "PROMETHEUS_MULTIPROC_DIR": "/somewhere"}
        made = environment(settings, place(), tmp_path, base)
        assert made["SLIPSTREAM_STORE"] == settings.store
        assert (made["SLIPSTREAM_WORKERS"], made["OMP_NUM_THREADS"]) == ("1", "1")
        assert made["SLIPSTREAM_BOARD"] == str(tmp_path / "board")
        assert KEY not in made.values()
        assert "PROMETHEUS_MULTIPROC_DIR" not in made
        assert "SLIPSTREAM_HOSTS" not in made

    def test_several_workers_count_in_one_folder(self, settings: Settings, tmp_path: Path) -> None:
        run = fresh_run_folder(tmp_path, place(workers=3))
        made = environment(settings, place(workers=3), run, {"OMP_NUM_THREADS": "4"})
        assert (made["SLIPSTREAM_WORKERS"], made["OMP_NUM_THREADS"]) == ("3", "4")
        # Where BentoML, which sets it anew, will have it too.
        assert Path(made["PROMETHEUS_MULTIPROC_DIR"]) == Path(made["BENTOML_HOME"]) / "prometheus_multiproc_dir"
        assert Path(made["PROMETHEUS_MULTIPROC_DIR"]).is_dir()

    @pytest.mark.parametrize(("host", "named"), [("0.0.0.0", "0.0.0.0"), ("::", "[::]"), ("10.0.0.1", "10.0.0.1")])
    def test_an_open_address_may_be_called_by_this_machine_s_name(
        self, settings: Settings, tmp_path: Path, host: str, named: str
    ) -> None:
        made = environment(settings, place(host), tmp_path, {})
        assert made["SLIPSTREAM_HOSTS"] == f"{named},{socket.gethostname().lower()}"
        made = environment(settings, place(host), tmp_path, {"SLIPSTREAM_HOSTS": "models.example"})
        assert made["SLIPSTREAM_HOSTS"] == "models.example"


class TestTheRunFolder:
    def test_is_private_and_empty(self, tmp_path: Path) -> None:
        run = fresh_run_folder(tmp_path, place())
        (run / "board").write_text("old")
        (run / "prometheus_multiproc_dir" / "counter_1.db").write_text("old")
        assert fresh_run_folder(tmp_path, place()) == run
        assert [file.name for file in run.rglob("*")] == ["prometheus_multiproc_dir"]
        assert stat.S_IMODE(run.stat().st_mode) == 0o700

    def test_belongs_to_one_endpoint(self, tmp_path: Path) -> None:
        places = [place(), place("::1"), ListenAddress(address_of("127.0.0.1"), 8901)]
        assert len({fresh_run_folder(tmp_path, one) for one in places}) == 3

    def test_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("a file")
        with pytest.raises(BackendError, match="set BENTOML_HOME") as caught:
            fresh_run_folder(tmp_path, place())
        assert caught.value.code == "run_folder_not_writable"


class TestTheSettings:
    @pytest.mark.parametrize(("value", "count"), [("", 1), ("1", 1), ("8", 8), ("64", 64)])
    def test_workers(self, monkeypatch: pytest.MonkeyPatch, value: str, count: int) -> None:
        monkeypatch.setenv("SLIPSTREAM_WORKERS", value)
        assert worker_count() == count

    @pytest.mark.parametrize("value", ["0", "-1", "65", "1.5", "many", "9" * 30, "²"])
    def test_workers_that_are_no_number(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("SLIPSTREAM_WORKERS", value)
        with pytest.raises(BackendError) as caught:
            worker_count()
        assert caught.value.code == "setting_invalid"

    @pytest.mark.parametrize(
        ("host", "auth", "words"),
        [
            ("127.0.0.1", "", "http://127.0.0.1:8900, 1 worker; open to this machine alone."),
            ("::1", "", "http://[::1]:8900, 1 worker; open to this machine alone."),
            ("0.0.0.0", "", "keys are due, except over the loopback."),
            ("127.0.0.1", "required", "everybody needs a key."),
            ("0.0.0.0", "off", "nobody needs a key."),
        ],
    )
    def test_what_it_says(self, monkeypatch: pytest.MonkeyPatch, host: str, auth: str, words: str) -> None:
        monkeypatch.setenv("SLIPSTREAM_AUTH", auth)
        assert announcement(place(host)).endswith(words)


def serve(settings: Settings, *words: str, **env: str) -> Any:
    blank = dict.fromkeys(("SLIPSTREAM_PORT", "AIP_HTTP_PORT", "SLIPSTREAM_WORKERS", "SLIPSTREAM_AUTH"), "")
    given = {"SLIPSTREAM_STORE": settings.store, "BENTOML_HOME": str(settings.bentos)}
    return CliRunner().invoke(app, ["serve", *words], env=os.environ | blank | given | env)


class TestTheCommand:
    @pytest.mark.parametrize(
        ("env", "words"),
        [
            ({"SLIPSTREAM_PORT": "TAKEN", "AIP_HTTP_PORT": "1"}, []),
            ({"AIP_HTTP_PORT": "TAKEN"}, []),
            ({"SLIPSTREAM_PORT": "1"}, ["--port", "TAKEN"]),
        ],
        ids=["SLIPSTREAM_PORT", "AIP_HTTP_PORT", "--port"],
    )
    def test_the_port(self, settings: Settings, taken: int, env: dict[str, str], words: list[str]) -> None:
        env = {name: value.replace("TAKEN", str(taken)) for name, value in env.items()}
        done = serve(settings, *(word.replace("TAKEN", str(taken)) for word in words), **env)
        assert isinstance(done.exception, BackendError)
        assert done.exception.code == "port_taken"
        assert f"port {taken} of 127.0.0.1" in str(done.exception)

    def test_it_does_not_bind_where_others_reach_it_before_there_is_a_key(self, settings: Settings) -> None:
        done = serve(settings, "--host", "0.0.0.0")
        assert isinstance(done.exception, BackendError)
        assert done.exception.code == "bind_not_allowed"

    @pytest.mark.parametrize("env", [{"SLIPSTREAM_PORT": "x"}, {"AIP_HTTP_PORT": "70000"}, {"SLIPSTREAM_WORKERS": "0"}])
    def test_a_wrong_setting_is_named(self, settings: Settings, env: dict[str, str]) -> None:
        done = serve(settings, **env)
        assert done.exit_code == 2
        assert "Invalid value" in done.output


def test_connections_that_never_end_do_not_take_all_files() -> None:
    program = (
        "import resource; from slipstream.serving.launch import allow_connections\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); allow_connections()\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    soft, hard = map(int, said.stdout.split())
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))
