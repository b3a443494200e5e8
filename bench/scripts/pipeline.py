"""The stages of one training as a plain script, the peer of the train DAG.

``python pipeline.py MODEL once`` trains once. Without ``once`` it trains for each line that it reads, and answers with
the seconds that it took: the process stays warm.
"""

from __future__ import annotations

import json
import sys
import time

from slipstream.settings import Settings
from slipstream.spec.loader import find_spec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.package import package
from slipstream.stages.replay import replay
from slipstream.stages.train import train
from slipstream.store import Store


def training(model: str, store: Store, settings: Settings) -> float:
    """Train, evaluate, explain, package, replay, gate and deploy; returns the seconds."""
    begin = time.monotonic()
    spec = find_spec(settings.models, model)
    dataset = store.ledger.state().model(model).dataset
    candidate = train(spec, store, str(dataset)).run
    evaluation, explanation = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
    places = {"keys": settings.keys, "bentos": settings.bentos}
    version = package(spec, store, candidate, evaluation, explanation, **places).version
    replay(spec, store, version)
    if not gate(spec, store, version).passed:
        raise SystemExit("the gates have refused the version")
    deploy(spec, store, version, endpoint=settings.endpoint)
    return time.monotonic() - begin


def main() -> None:
    """Train once, or for each line of standard input."""
    settings = Settings.from_environment()
    store = Store.open(settings.store)
    if sys.argv[2:] == ["once"]:
        training(sys.argv[1], store, settings)
        return
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(training(sys.argv[1], store, settings)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
