"""What the demo asks the endpoint: rows that the flights model takes, of the month after those that it has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.spec.loader import load_spec

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_the_demo_asks_for_rows_that_the_model_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    from traffic import rows_after

    spec = load_spec(ROOT / "include" / "models" / "flights", allow_code=True)
    asked = rows_after(spec, "2013-01", 20)
    assert len(asked) == 20
    for one in asked:
        assert set(json.loads(json.dumps(one.row))) == set(spec.inputs)
        assert one.truth in {0, 1}
