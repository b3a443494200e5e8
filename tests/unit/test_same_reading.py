"""A row posted as it stood in the file gets the answer that the judged pipeline gives it, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.errors import ValueProblem
from slipstream.evaluation.candidate_answers import load_candidate
from slipstream.serving.message import Request
from slipstream.serving.protocols.sagemaker import Csv
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.load import load_served
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.serving.version.native import Native
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.ingest import ingest
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.training.split import split

MakeSpec = Callable[..., ModelSpec]
ROWS = 700


def _random() -> np.random.Generator:
    return np.random.default_rng(5)


def german() -> tuple[str, dict[str, Any]]:
    """Decimal commas, thousands, days first, Ja and Nein, codes with leading zeros."""
    r = _random()
    lines = ["nr;betrag;rate;seit;kunde;plz;art;y"]
    for n in range(ROWS):
        amount, rate = r.uniform(0, 90_000), r.uniform(0, 9)
        money = f"{amount:,.2f}".replace(",", "x").replace(".", ",").replace("x", ".")
        day = f"{r.integers(1, 29):02d}.{r.integers(1, 13):02d}.20{r.integers(10, 24)}"
        word, code = r.choice(["Ja", "Nein"]), f"{r.integers(0, 30):05d}"
        late = amount / 45_000 + (word == "Ja") + rate / 9 + r.normal() * 0.3 > 2
        cells = [
            n,
            money if n % 40 else "",
            f"{rate:.3f}".replace(".", ","),
            day,
            word,
            code,
            r.choice(list("AB")),
            late,
        ]
        lines.append(";".join(map(str, cells)))
    inputs = ["betrag", "rate", "seit", "kunde", "plz", "art"]
    return "\n".join(lines) + "\n", {"inputs": inputs, "data": {"key": ["nr"]}}


def absent() -> tuple[str, dict[str, Any]]:
    """Words for "missing" among numbers, in texts where they are words, where the schema names them; times."""
    r = _random()
    lines = ["id,x,whole,country,grade,at,on,y"]
    for n in range(ROWS):
        x, country = r.normal(), r.choice(["DE", "NA", "FR"])
        cell = ["NA", "null", "nan", "#N/A", "None", ""][n % 6] if n % 9 == 0 else f"{x:.4f}"
        at = f"2024-{r.integers(1, 13):02d}-{r.integers(1, 29):02d}T{r.integers(0, 24):02d}:15:00+02:00"
        whole = "" if n % 17 == 0 else str(r.integers(-3, 4))
        cells = [n, cell, whole, country, r.choice(["?", "a", "b"]), at, r.choice(["true", "False", ""])]
        lines.append(",".join(map(str, [*cells, int(x + (country == "NA") + r.normal() * 0.3 > 0.5)])))
    schema = {"grade": {"type": "text", "missing": ["?"]}}
    data = {"key": ["id"], "schema": schema}
    return "\n".join(lines) + "\n", {"inputs": ["x", "whole", "country", "grade", "at", "on"], "data": data}


def sentinel() -> tuple[str, dict[str, Any]]:
    """A number and its sentinel, a truth value in words, American dates with a clock, thousands."""
    r = _random()
    lines = ["id,speed,partner,when,income,y"]
    for n in range(ROWS):
        speed = -999 if n % 11 == 0 else round(r.uniform(0, 50), 1)
        when = f"{r.integers(1, 13):02d}/{r.integers(1, 29):02d}/2023 {r.integers(0, 24):02d}:30"
        income = r.integers(1000, 2_000_000)
        truth = (speed if speed > 0 else 20) / 50 + income / 2_000_000 + r.normal() * 0.2 > 1
        lines.append(f'{n},{speed},{r.choice(["Yes", "No"])},{when},"{income:,}",{str(truth).lower()}')
    schema = {"speed": {"type": "number", "missing": ["-999"], "unit": "km/h"}, "partner": "boolean"}
    inputs = ["speed", "partner", "when", "income"]
    return "\n".join(lines) + "\n", {"inputs": inputs, "data": {"key": ["id"], "schema": schema}}


TABLES = {"german": german, "absent": absent, "sentinel": sentinel}
ESTIMATORS = ["sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"]


async def _nothing() -> dict[str, Any]:
    return {}


CALL = Request({}, {}, _nothing, "")


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("table", TABLES)
def test_every_held_out_row_is_answered_as_it_was_judged(
    table: str, estimator: str, store: Store, make_spec: MakeSpec, tmp_path: Path
) -> None:
    text, said = TABLES[table]()
    data = {"source": {"type": "files", "path": "*.csv"}, **said["data"]}
    trainer = {"trainer": {"type": "sklearn", "estimator": estimator}}
    spec = make_spec(target="y", inputs=said["inputs"], data=data, train=trainer)
    (spec.folder / "rows.csv").write_text(text, encoding="utf-8")
    validated = validate(spec, store, ingest(spec, store).batch)
    assert validated.quarantined == 0
    trained = train(spec, store, validated.dataset)
    served = _served(spec, store, trained.candidate, tmp_path)

    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    cut = split(spec, store, validated.dataset, [spec.data.key[0]])
    held = cut.frame("holdout")
    judged = load_candidate(spec, store, trained.candidate).answer(held)
    stood = [rows[int(number)] for number in held[spec.data.key[0]]]
    assert len(stood) > 80

    body = io.StringIO()
    writer = csv.writer(body)
    writer.writerow(spec.inputs)
    writer.writerows([row[name] for name in spec.inputs] for row in stood)
    assert _asked(served, Csv(), body.getvalue().encode()) == pytest.approx(judged, abs=1e-12)

    head, *lines = text.splitlines()
    whole = "\n".join([head, *(lines[int(number)] for number in held[spec.data.key[0]])])
    for delivered in (whole, whole.replace(";", "\t")):
        assert _asked(served, Csv(), delivered.encode()) == pytest.approx(judged, abs=1e-12)
    with pytest.raises(ValueProblem, match="strange: unknown field"):
        _asked(served, Csv(), f"{head}{delimiter}strange\n{lines[0]}{delimiter}1\n".encode())

    for at in range(0, len(stood), 60):
        native = {"rows": [_json_row(served, row) for row in stood[at : at + 60]]}
        assert _asked(served, Native(), json.dumps(native).encode()) == pytest.approx(judged[at : at + 60], abs=1e-12)


def _served(spec: ModelSpec, store: Store, candidate: str, folder: Path) -> LoadedVersion:
    runs = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
    packaged = package(spec, store, candidate, *runs, keys=folder / "keys", bentos=folder / "bentos")
    return load_served(open_bundle(store, packaged.bundle), packaged.version, 1000, Policy())


def _asked(served: LoadedVersion, codec: Any, body: bytes) -> list[float]:
    decoded = codec.decode(served.decoder, CALL, body)
    found = served.scorer.predict(decoded.columns).probabilities
    assert found is not None
    return found


def _json_row(served: LoadedVersion, row: dict[str, str]) -> dict[str, Any]:
    """The row as a person would write it in JSON: numbers and truth values as such, all else as it stood."""
    made: dict[str, Any] = {}
    for field in served.scorer.schema.inputs:
        cell = row[field.name]
        made[field.name] = cell or None
        if cell and field.type != "string" and field.reading is not None:
            sentinel = cell in field.reading.missing
            made[field.name] = float(cell) if sentinel else field.reading.parse(cell)
    return made
