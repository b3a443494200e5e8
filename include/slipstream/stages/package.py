"""Package: makes the signed bundle and the Bento of a candidate, and registers it as a version."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slipstream.errors import StageError
from slipstream.evaluation.explained import Explained
from slipstream.evaluation.record import Evaluation, load_evaluation
from slipstream.packaging.bundle_files import TELLS_OF, Sources, bundle_files, features_digest
from slipstream.runs import Result, Stage, find_result, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.training.candidate import load_training
from slipstream.training.split import reopen

STAGE = Stage("package", version=2, event="version.registered")
READS = TELLS_OF
LATENCY_ROWS = 30

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Packaged(Result):
    """A version. Its number is given by the ledger, in the order of registration.

    Attributes:
        version: Its number; 0 in the registering event itself, before the ledger has given it.
        candidate: The train run.
        evaluation: The evaluate run.
        explanation: The explain run.
        dataset: The dataset version that it was trained on.
        bundle: Id of the bundle.
        bento: Tag of the Bento.
        key: Name of the key that signed it.
        card: Digest of the model card's HTML page.
        size_bytes: Of all files of the bundle.
        latency_ms: Median time to answer one row in this process, by what serves.
        engine: What serves: ``compiled``, or ``sklearn`` where the card says why.
    """

    version: int
    candidate: str
    evaluation: str
    explanation: str
    dataset: str
    bundle: str
    bento: str
    key: str
    card: str
    size_bytes: int
    latency_ms: float
    engine: str = "sklearn"


@dataclass(frozen=True)
class PackagingRequest:
    """The runs that a version is made of, and where to put what is made."""

    candidate: str
    evaluation: str
    explanation: str
    keys: Path
    bentos: Path


def package(  # noqa: PLR0913 - three ids by position, places by name
    spec: ModelSpec,
    store: Store,
    candidate: str,
    evaluation: str,
    explanation: str,
    *,
    keys: Path,
    bentos: Path,
    actor: str = "",
) -> Packaged:
    """Bundle and register a candidate that was evaluated and explained.

    Args:
        spec: The model.
        store: The store.
        candidate: The train run.
        evaluation: An evaluate run of it.
        explanation: An explain run of it.
        keys: Folder of the signing key, which is made there if there is none.
        bentos: BentoML's home.
        actor: Who asked for it.

    Raises:
        StageError: ``run_not_found``, ``stage_input_invalid`` for runs of different candidates, ``bento_not_built``.
        BundleError: the signing key or the model cannot be used.
    """
    from slipstream.bundle.signing import publish, signing_key

    request = PackagingRequest(candidate, evaluation, explanation, keys, bentos)
    evaluated, record = load_evaluation(spec, store, evaluation)
    explained = find_result(store, spec, explanation, Explained)
    for run, subject in ((evaluation, evaluated.candidate), (explanation, explained.candidate)):
        if subject != candidate:
            raise StageError(f"{run} is about {subject}, not about {candidate}; give runs of one candidate.")
    key = signing_key(keys)
    publish(store, spec.name, key, actor)
    inputs = {"candidate": candidate, "evaluation": evaluation, "explanation": explanation, "key": key.name}
    digest = run_key(STAGE, spec.part(*READS), inputs | {"features": features_digest(spec)})
    packaged = once(
        STAGE,
        spec,
        store,
        digest,
        lambda run: _package(spec, store, request, (record, explained)),
        result=Packaged,
        actor=actor,
    )
    return _numbered(store, spec, digest, packaged)


def _package(
    spec: ModelSpec, store: Store, request: PackagingRequest, records: tuple[Evaluation, Explained]
) -> Packaged:
    from slipstream.bundle.bundle import save_bundle
    from slipstream.bundle.signing import signing_key
    from slipstream.packaging.bento import build_bento
    from slipstream.packaging.model_card import card
    from slipstream.reports import card as page

    evaluation, explained = records
    trained, training = load_training(spec, store, request.candidate)
    cut = reopen(spec, store, trained.dataset, training.boundaries)
    model_card = card(spec, trained, training, evaluation, explained)
    key = signing_key(request.keys)
    bundle = save_bundle(store, spec.name, bundle_files(Sources(spec, store, trained, training, cut), model_card), key)
    model_card = bundle.json("card.json")
    faultpoint("package.bundled")
    labels = {"model": spec.name, "task": spec.task, "candidate": request.candidate, "owner": spec.owner}
    bento = build_bento(bundle, request.bentos, labels)
    _log.info("%s: bundle %s, Bento %s", spec.name, bundle.digest[:12], bento)
    return Packaged(
        version=0,
        candidate=request.candidate,
        evaluation=request.evaluation,
        explanation=request.explanation,
        dataset=trained.dataset,
        bundle=bundle.digest,
        bento=bento,
        key=key.name,
        card=store.objects.put(page.page(model_card, bundle.json("lineage.json"), bundle.digest)),
        size_bytes=bundle.size,
        latency_ms=_latency(bundle),
        engine=model_card["serving"]["engine"],
    )


def _latency(bundle: Any) -> float:
    """Median milliseconds to answer one row in this process, with one thread as at the endpoint."""
    from threadpoolctl import threadpool_limits

    from slipstream.bundle.scorer import load_scorer

    scorer, took = load_scorer(bundle), []
    with threadpool_limits(limits=1):
        scorer.check_golden()
        for number in range(LATENCY_ROWS):
            row = scorer.golden[number % len(scorer.golden)]["row"]
            columns = {name: [value] for name, value in row.items()}
            began = time.perf_counter()
            scorer.predict(columns)
            took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 3)


def _numbered(store: Store, spec: ModelSpec, digest: str, packaged: Packaged) -> Packaged:
    """The same result with the number that the ledger gave it."""
    event = store.ledger.find(STAGE.event, spec.name, digest)
    assert event is not None  # noqa: S101 - it was committed or found just before
    return replace(packaged, version=store.ledger.state().model(spec.name).number_of(event))
