"""The one plug-in mechanism."""

from __future__ import annotations

import pytest

from slipstream.errors import BackendError
from slipstream.slot import Slot
from slipstream.slots import SLOTS, SOURCE, TRACKER, Tracker


def test_a_word_builds_its_back_end() -> None:
    built = TRACKER.build({"type": "jsonl", "path": "runs.jsonl"})
    assert built.path == "runs.jsonl"


@pytest.mark.parametrize(
    ("config", "code", "text"),
    [
        ({"type": "s4"}, "unknown_backend", "No tracker is called 's4'. Known: jsonl, none."),
        ({"type": "jsnl"}, "unknown_backend", "Did you mean 'jsonl'?"),
        ({}, "unknown_backend", "No tracker is called ''"),
        ({"type": "jsonl"}, "backend_argument", "missing a required argument: 'path'"),
        ({"type": "jsonl", "pth": "x"}, "backend_argument", "Its arguments: path."),
        ({"type": "os:system"}, "backend_code_forbidden", "SLIPSTREAM_ALLOW_CODE=1"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, str], code: str, text: str) -> None:
    with pytest.raises(BackendError) as caught:
        TRACKER.build(config)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_a_missing_extra_says_how_to_install_it() -> None:
    slot: Slot[Tracker] = Slot("tracker", Tracker, {"comet": "nowhere:Tracker"}, {"comet": ("cloud", "nowhere_at_all")})
    with pytest.raises(BackendError, match=r"pip install --require-hashes -r requirements-cloud\.txt") as caught:
        slot.build({"type": "comet"})
    assert caught.value.code == "missing_extra"


def test_installed_code_where_it_is_allowed() -> None:
    path = "slipstream.trackers.none:NoTracker"
    assert type(TRACKER.build({"type": path}, allow_code=True)).__name__ == "NoTracker"
    with pytest.raises(BackendError, match="cannot be imported"):
        TRACKER.build({"type": "slipstream.trackers.none:Nothing"}, allow_code=True)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_every_word_of_every_slot_imports(slot: Slot[object]) -> None:
    for word in slot.builtin:
        assert isinstance(slot._load(word, False), type)


def test_words_are_listed() -> None:
    assert SOURCE.known() == ["delta", "files", "http", "python", "sql"]
