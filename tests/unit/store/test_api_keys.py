"""API keys: made once, kept as digests, two live ones for each caller, revoked for good."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app, main
from slipstream.errors import BackendError, Conflict, NotFound, SlipstreamError, StageError
from slipstream.settings import Settings
from slipstream.slots import Rollout
from slipstream.store import Store
from slipstream.store.api_keys import KEY, add, create, digest_of, exported, is_live, listed, read_keys, revoke

BROUGHT = "slipstream_0123456789ab_" + "s" * 43


def live_ids(store: Store, caller: str = "me") -> list[str]:
    return [issued.id for issued in listed(store) if issued.caller == caller and is_live(issued)]


class TestCreate:
    def test_a_key(self, store: Store) -> None:
        made = create(store, "me", ["label", "predict", "label"], actor="cli")
        shape = KEY.fullmatch(made.key)
        assert shape is not None
        assert (made.issued.id, made.issued.digest) == (shape[1], digest_of(made.key))
        assert (made.issued.scopes, made.issued.expires) == (("predict", "label"), "")
        assert listed(Store.open(store.url)) == [made.issued]
        assert made.key not in repr(made)

    def test_it_belongs_to_no_model(self, store: Store) -> None:
        create(store, "me", ["predict"])
        assert store.ledger.state().models == {}
        assert store.ledger.verify() == 1

    def test_the_store_never_holds_the_secret(self, store: Store, tmp_path: Path) -> None:
        secrets = [create(store, "me", ["predict"]).key.encode(), BROUGHT.encode()]
        add(store, "other", ["predict"], BROUGHT)
        revoke(store, secrets[0][11:23].decode())
        events = "".join(event.payload for event in store.ledger.read()).encode()
        files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
        assert len(files) >= 6
        for secret in secrets:
            for held in (events, *(file.read_bytes() for file in files)):
                assert secret not in held
                assert secret[24:] not in held

    @pytest.mark.parametrize("caller", ["", "Me", "a b", "-a", "a/b", "a\n", "x" * 65, "é"])
    def test_a_caller_that_is_no_name(self, store: Store, caller: str) -> None:
        with pytest.raises(StageError) as caught:
            create(store, caller, ["predict"])
        assert caught.value.code == "caller_invalid"

    @pytest.mark.parametrize("scopes", [[], ["root"], ["predict", "Predict"], [""]])
    def test_a_scope_that_is_none(self, store: Store, scopes: list[str]) -> None:
        with pytest.raises(StageError, match="predict, label, metrics, admin") as caught:
            create(store, "me", scopes)
        assert caught.value.code == "scope_unknown"
        assert listed(store) == []


class TestRotation:
    def test_two_live_keys_and_no_third(self, store: Store) -> None:
        first, second = create(store, "me", ["predict"]), create(store, "me", ["predict"])
        create(store, "other", ["predict"])
        with pytest.raises(Conflict, match=f"{first.issued.id} and {second.issued.id}") as caught:
            create(store, "me", ["predict"])
        assert caught.value.code == "keys_enough"
        with pytest.raises(Conflict):
            add(store, "me", ["predict"], BROUGHT)
        revoke(store, first.issued.id)
        third = create(store, "me", ["predict"])
        assert live_ids(store) == [second.issued.id, third.issued.id]

    def test_an_expired_key_makes_room(self, store: Store) -> None:
        lasting = create(store, "me", ["predict"])
        passing = create(store, "me", ["predict"], lasts=timedelta(0))
        assert live_ids(store) == [lasting.issued.id]
        create(store, "me", ["predict"])
        assert not is_live(passing.issued)

    def test_a_key_lives_until_it_expires(self, store: Store) -> None:
        issued = create(store, "me", ["predict"], lasts=timedelta(days=90)).issued
        now = datetime.now(UTC)
        assert is_live(issued)
        assert is_live(issued, now + timedelta(days=89))
        assert not is_live(issued, now + timedelta(days=91))

    def test_revoking_is_for_good_and_may_be_said_twice(self, store: Store) -> None:
        made = create(store, "me", ["predict"])
        assert revoke(store, made.issued.id).revoked
        assert revoke(store, made.issued.id).revoked
        assert [event.kind for event in store.ledger.read()] == ["key.issued", "key.revoked"]
        with pytest.raises(Conflict) as caught:
            add(store, "me", ["predict"], made.key)
        assert caught.value.code == "key_not_live"
        with pytest.raises(NotFound) as unknown:
            revoke(store, "0" * 12)
        assert unknown.value.code == "key_not_found"


class TestBrought:
    def test_again_it_changes_nothing(self, store: Store) -> None:
        first = add(store, "airflow", ["predict"], BROUGHT)
        assert add(store, "airflow", ["predict"], BROUGHT) == first
        assert len(store.ledger.read()) == 1

    def test_a_key_that_was_made_here_is_known(self, store: Store) -> None:
        made = create(store, "me", ["predict"])
        assert add(store, "me", ["predict"], made.key) == made.issued
        assert len(store.ledger.read()) == 1

    @pytest.mark.parametrize(
        ("caller", "scopes", "key"),
        [("other", ["predict"], BROUGHT), ("me", ["admin"], BROUGHT), ("me", ["predict"], BROUGHT[:-1] + "t")],
    )
    def test_the_same_id_with_something_else(self, store: Store, caller: str, scopes: list[str], key: str) -> None:
        add(store, "me", ["predict"], BROUGHT)
        with pytest.raises(Conflict) as caught:
            add(store, caller, scopes, key)
        assert caught.value.code == "key_differs"

    @pytest.mark.parametrize(
        "key", ["", "secret", BROUGHT + "s", BROUGHT.upper(), BROUGHT.replace("0123", "012g"), BROUGHT[:-1] + "\n"]
    )
    def test_a_key_of_another_shape_is_refused_and_not_echoed(self, store: Store, key: str) -> None:
        with pytest.raises(StageError) as caught:
            add(store, "me", ["predict"], key)
        assert caught.value.code == "key_shape"
        assert not key or key not in str(caught.value)


RACE = """
import sys
from slipstream.errors import Conflict
from slipstream.store.api_keys import create
from slipstream.store import Store
store = Store.open(sys.argv[1])
sys.stdin.readline()
for _ in range(3):
    try:
        create(store, "me", ["predict"])
        print("made")
    except Conflict as error:
        print(error.code)
"""


def test_of_four_processes_that_race_two_keys_come(store: Store) -> None:
    words = [sys.executable, "-c", RACE, store.url]
    racers = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=120)
        said += out.split()
    assert sorted(said) == ["keys_enough"] * 10 + ["made"] * 2
    assert len(live_ids(store)) == 2


class TestFile:
    def test_it_holds_the_live_keys(self, store: Store, tmp_path: Path) -> None:
        kept, gone = create(store, "me", ["predict"], lasts=timedelta(days=1)), create(store, "me", ["predict"])
        revoke(store, gone.issued.id)
        file = tmp_path / "keys.jsonl"
        file.write_text(exported(store))
        assert read_keys(file) == {kept.issued.id: kept.issued}
        assert kept.key not in file.read_text()

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"id": "../x"}, "twelve hexadecimal"),
            ({"digest": "00"}, "no sha256"),
            ({"scopes": "predict"}, "no list"),
            ({"scopes": ["root"]}, "no scope is called 'root'"),
            ({"caller": "A B"}, "lower case"),
            ({"expires": "tomorrow"}, "Invalid isoformat"),
            ({"expires": "2030-01-01T00:00:00"}, "no time with its zone"),
            ({"expires": None}, "no time with its zone"),
        ],
    )
    def test_a_wrong_line_is_named(self, store: Store, tmp_path: Path, changed: dict[str, Any], said: str) -> None:
        create(store, "me", ["predict"])
        line = json.loads(exported(store)) | changed
        file = tmp_path / "keys.jsonl"
        file.write_text("\n" + json.dumps(line))
        with pytest.raises(BackendError, match=f"line 2: .*{said}") as caught:
            read_keys(file)
        assert caught.value.code == "keys_file_invalid"

    @pytest.mark.parametrize("text", ["{", "[]", "1", '{"id": "0123456789ab"}', "\xff"])
    def test_a_file_that_is_none(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "keys.jsonl"
        file.write_text(text, encoding="latin-1")
        with pytest.raises(BackendError, match="slipstream key export"):
            read_keys(file)
        with pytest.raises(BackendError):
            read_keys(tmp_path / "missing")


def run(store: Store, *words: str, **env: str) -> Any:
    environment = {"SLIPSTREAM_STORE": store.url} | env
    return CliRunner().invoke(app, ["key", *words], env=environment, catch_exceptions=True)


class TestCommands:
    def test_create_shows_the_key_once(self, store: Store) -> None:
        done = run(store, "create", "--caller", "me", "--scopes", "predict, label", "--expires", "90d", "--json")
        said = json.loads(done.stdout)
        assert set(said) == {"key", "id", "caller", "scopes", "expires"}
        assert KEY.fullmatch(said["key"])
        assert said["scopes"] == ["predict", "label"]
        due = datetime.fromisoformat(said["expires"]) - datetime.now(UTC)
        assert timedelta(days=89, hours=23) < due <= timedelta(days=90)
        for words in (["list"], ["list", "--json"], ["export"], ["revoke", said["id"]]):
            later = run(store, *words)
            assert later.exit_code == 0
            assert said["id"] in later.stdout
            assert said["key"][24:] not in later.output

    def test_create_for_people_prints_the_key_alone(self, store: Store) -> None:
        done = run(store, "create", "--caller", "me", "--scopes", "admin")
        assert KEY.fullmatch(done.stdout.strip())
        assert "It is shown only now." in done.stderr

    def test_list_says_what_is_live(self, store: Store) -> None:
        made = [create(store, "me", ["predict"], lasts=lasts) for lasts in (None, timedelta(0), timedelta(days=1))]
        revoke(store, made[0].issued.id)
        rows = json.loads(run(store, "list", "--json").stdout)
        assert [row["state"] for row in rows] == ["revoked", "expired", "live"]
        assert "digest" not in rows[0]

    def test_add_takes_the_key_from_the_environment(self, store: Store) -> None:
        words = ["add", "--caller", "airflow", "--scopes", "predict", "--from-env", "MINE"]
        for _ in range(2):
            done = run(store, *words, "--json", MINE=f"{BROUGHT}\n")
            assert json.loads(done.stdout)["id"] == "0123456789ab"
            assert "sss" not in done.output
        assert len(listed(store)) == 1

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["create", "--caller", "me", "--scopes", "predict", "--expires", "soon"], "duration_invalid"),
            (["create", "--caller", "me", "--scopes", ","], "scope_unknown"),
            (["create", "--caller", "ME", "--scopes", "predict"], "caller_invalid"),
            (["add", "--caller", "me", "--scopes", "predict", "--from-env", "SLIPSTREAM_NOT_SET"], "key_shape"),
            (["revoke", "../../x"], "key_not_found"),
        ],
    )
    def test_what_is_wrong(self, store: Store, words: list[str], code: str) -> None:
        done = run(store, *words)
        assert isinstance(done.exception, SlipstreamError)
        assert done.exception.code == code

    def test_an_error_is_one_line(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SLIPSTREAM_STORE", store.url)
        monkeypatch.setattr(sys, "argv", ["slipstream", "key", "revoke", "abc"])
        with pytest.raises(SystemExit):
            main()
        assert capsys.readouterr().err == "error [key_not_found]: no key has the id 'abc'; see `slipstream key list`.\n"


def test_the_key_of_the_settings_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_ENDPOINT_KEY", BROUGHT)
    settings = Settings.from_environment()
    rollout = Rollout("m", 1, "b", "file:///s", "http://e", 1, 1.0, settings.endpoint_key)
    assert settings.endpoint_key == rollout.endpoint_key == BROUGHT
    assert BROUGHT not in f"{settings!r} {rollout!r} {settings} {rollout}"
