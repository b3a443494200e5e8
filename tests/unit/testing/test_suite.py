"""What all suites share: they are found by the name of their slot, and need no pytest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slipstream.errors import BackendError
from slipstream.slots import SLOTS
from slipstream.testing import checks_of


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_every_slot_has_checks_with_names_and_reasons(slot: object) -> None:
    checks = checks_of(slot.name)  # type: ignore[attr-defined]
    names = [check.__name__ for check in checks]
    assert len(set(names)) == len(names) >= 7
    assert all(check.__doc__ for check in checks)


def test_an_unknown_slot_is_named() -> None:
    with pytest.raises(BackendError, match=r"No slot is called 'trainers'\. Known: source, trainer"):
        checks_of("trainers")


def test_pytest_is_not_needed() -> None:
    program = "import sys; import slipstream.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
