"""Replay: champion and challenger answer the same captured requests, by the code that serves them."""

from __future__ import annotations

import logging
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipstream.bundle.answer_difference import alike, by_row
from slipstream.bundle.scorer import Answers, Scorer
from slipstream.errors import NotFound
from slipstream.evaluation.slices import Pair
from slipstream.replay.answers import ENOUGH, ReplaySide
from slipstream.replay.captured_rows import Requests, newest_files, refused, requests
from slipstream.replay.quality import labels_of, quality
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.labels import TABLE as LABELS
from slipstream.store.tables import Sound, TableFile, left_out

STAGE = Stage("replay", version=1)
READS = ("evaluate.metric", "evaluate.bootstrap", "train.seed")
CHUNK = 1000
MOST_REASONS, SHOWN = 10, 10

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Replayed(Result):
    """Two versions on the same captured requests.

    Attributes:
        version: The challenger's number.
        champion: The champion's; None when nothing was in production.
        rows: Rows that the champion answered; 0 when there was nothing to replay.
        failed: Those of them that the challenger cannot answer.
        reasons: Why -> how many; the ten most frequent.
        disagreed: Share of the rows that both answered with another label or, for numbers, more than 1 % apart.
        distance: Mean distance of the two answers: of the probability, of the number or, for multiclass, of all
            probabilities (total variation).
        latency: How many times the champion's time the challenger took.
        damaged: Data files that are not what was written, and were left out.
        labelled: Rows that both answered and whose label has come.
        metric: The deciding metric.
        value: Of the challenger on the labelled rows; None without them.
        champion_value: Of the champion on the same rows.
        sentence: The outcome in one sentence.
        details: Digest of the JSON record, with the rows whose answers are furthest apart.
        report: Digest of the HTML report.
    """

    version: int
    champion: int | None
    rows: int
    failed: int
    reasons: dict[str, int]
    disagreed: float | None
    distance: float | None
    latency: float | None
    sentence: str
    damaged: tuple[str, ...] = ()
    labelled: int = 0
    metric: str = ""
    value: float | None = None
    champion_value: float | None = None
    details: str = ""
    report: str = ""


def replay(spec: ModelSpec, store: Store, version: int, *, actor: str = "") -> Replayed:
    """Let the champion and *version* answer the newest captured rows.

    Raises:
        NotFound: ``version_not_found``.
        BundleError: one of the two cannot be loaded.
    """
    model = store.ledger.state().model(spec.name)
    if version not in model.versions:
        known = ", ".join(map(str, list(model.versions)[-5:])) or "none"
        raise NotFound(f"{spec.name} has no version {version}. Known: {known}.", code="version_not_found")
    champion = model.champion
    both = [model.packaged(number).bundle for number in (version, champion) if number]
    files, damaged = newest_files(spec, store) if champion else Sound((), ())
    labels, bad = store.tables.sound(spec.name, LABELS) if files else Sound((), ())
    inputs = {"version": version, "champion": champion, "bundles": both}
    inputs |= {"files": [file.sha256 for file in files], "labels": [file.sha256 for file in labels]}
    key = run_key(STAGE, spec.part(*READS), inputs)
    work = _Replay(spec, store, version, champion, both, (files, labels), (*damaged, *bad))
    return once(STAGE, spec, store, key, lambda run: work.result(), result=Replayed, actor=actor)


@dataclass(frozen=True)
class _Replay:
    """One replay: the challenger's bundle, then the champion's, on the rows of some files, and files of labels."""

    spec: ModelSpec
    store: Store
    version: int
    champion: int | None
    bundles: list[str]
    files: tuple[tuple[TableFile, ...], tuple[TableFile, ...]]
    damaged: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        return f"{self.spec.name}/{self.version}", f"champion {self.spec.name}/{self.champion}"

    def result(self) -> Replayed:
        """What the two answer, and how far that is apart."""
        if self.champion is None:
            return self._nothing("there is no champion yet")
        if self.champion == self.version:
            return self._nothing(f"{self.names[0]} is the champion itself")
        challenger, champion = (self._scorer(bundle) for bundle in self.bundles)
        captured = requests(self.spec, self.store, self.files[0], champion.schema.names)
        if captured is None:
            return self._nothing("no request whose inputs are kept has been captured yet")
        if not alike(champion.schema, challenger.schema):
            every = {"its answers mean something else than the champion's": len(captured.frame)}
            return self._stored(captured, len(captured.frame), every, None)
        return self._compared(captured, ReplaySide(challenger), ReplaySide(champion))

    def _scorer(self, bundle: str) -> Scorer:
        from slipstream.bundle.bundle import open_bundle
        from slipstream.bundle.scorer import load_scorer

        scorer = load_scorer(open_bundle(self.store, bundle))
        scorer.check_golden()
        return scorer

    def _nothing(self, why: str) -> Replayed:
        sentence = self._with_damage(f"Nothing was replayed: {why}.")
        return Replayed(self.version, self.champion, 0, 0, {}, None, None, None, sentence, damaged=self.damaged)

    def _with_damage(self, sentence: str) -> str:
        return f"{sentence} {left_out(self.damaged)}." if self.damaged else sentence

    def _compared(self, captured: Requests, challenger: ReplaySide, champion: ReplaySide) -> Replayed:
        """Both answer the same chunks in turn, on one thread as at the endpoint."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        taken = refused(challenger.scorer.schema, captured.frame)
        sound = refused(champion.scorer.schema, captured.frame) == ""
        _log.info("%s: replaying %s captured rows", self.spec.name, f"{int(sound.sum()):,}")
        # An answer that overflows is found by its value.
        with threadpool_limits(limits=1), np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, len(captured.frame), CHUNK):
                places = np.flatnonzero(sound[begin : begin + CHUNK]) + begin
                champion.answer(captured, places)
                answered = np.array([place for place in places.tolist() if place in champion.answered], dtype=np.int64)
                fit = taken[answered] == ""
                challenger.failed |= {int(place): str(taken[place]) for place in answered[~fit]}
                challenger.answer(captured, answered[fit])
                if len(challenger.failed) >= ENOUGH:
                    break
        reasons = dict(Counter(challenger.failed.values()).most_common(MOST_REASONS))
        return self._stored(captured, len(champion.answered), reasons, (challenger, champion))

    def _stored(
        self, captured: Requests, rows: int, reasons: dict[str, int], sides: tuple[ReplaySide, ReplaySide] | None
    ) -> Replayed:
        """The result, with its record and report kept as objects."""
        from slipstream.reports import replay as report

        failed = len(sides[0].failed) if sides else rows
        apart = self._apart(captured, *sides) if sides else _Apart()
        figures: dict[str, Any] = {"version": self.version, "champion": self.champion, "rows": rows, "failed": failed}
        figures |= {"reasons": reasons, "metric": self.spec.evaluate.metric, **apart.figures()}
        figures["sentence"] = self._with_damage(self._sentence(rows, failed, reasons, apart))
        figures["damaged"] = self.damaged
        details = figures | {"furthest": apart.furthest, "left_out": captured.left_out}
        return Replayed(
            **figures,
            details=self.store.objects.put_json(details),
            report=self.store.objects.put(report.page(self.spec.name, details)),
        )

    def _apart(self, captured: Requests, challenger: ReplaySide, champion: ReplaySide) -> _Apart:
        """How far the answers are apart on the rows that both answered, and how right they are."""
        import numpy as np

        places = [place for place in champion.answered if place in challenger.answered]
        if not places:
            return _Apart()
        ours, theirs = (side.answers(places) for side in (champion, challenger))
        disagreed, distance = by_row(ours, theirs)
        order = np.argsort(-distance, kind="stable")[:SHOWN]
        labels = labels_of(self.spec, self.store, *self.files)
        texts = [labels.get(id_, "") for id_ in captured.frame["prediction_id"].iloc[places]]
        both = {"champion": ours, "candidate": theirs}
        return _Apart(
            disagreed=float(disagreed.mean()),
            distance=float(distance.mean()),
            latency=round(statistics.median(challenger.seconds) / statistics.median(champion.seconds), 3),
            labelled=sum(map(bool, texts)),
            pair=quality(self.spec, champion.scorer.schema, texts, both),
            furthest=tuple(_row(captured, places[number], ours, theirs, int(number)) for number in order),
        )

    def _sentence(self, rows: int, failed: int, reasons: Mapping[str, int], apart: _Apart) -> str:
        name, champion = self.names
        opening = f"On {rows:,} captured rows {name}"
        answers = ""
        if apart.disagreed is not None:
            answers = f"answers {apart.disagreed:.2%} otherwise than {champion} (mean distance {apart.distance:.4g})"
            answers += self._right(apart)
        if not failed:
            return f"{opening} {answers}." if answers else f"{opening} could not be compared with {champion}."
        least = "at least " if failed >= ENOUGH and apart.disagreed is not None else ""
        cannot = f"cannot answer {least}{failed:,} that {champion} answers ({next(iter(reasons))})"
        return f"{opening} {cannot}; of the others it {answers}." if answers else f"{opening} {cannot}."

    def _right(self, apart: _Apart) -> str:
        if apart.pair is None or apart.pair.candidate is None or apart.pair.champion is None:
            return ""
        figures = f"{apart.pair.candidate:.4g} against {apart.pair.champion:.4g}"
        return f"; on the {apart.labelled:,} labelled ones {self.spec.evaluate.metric} is {figures}"


@dataclass(frozen=True)
class _Apart:
    """How far the answers are apart on the rows that both answered."""

    disagreed: float | None = None
    distance: float | None = None
    latency: float | None = None
    labelled: int = 0
    pair: Pair | None = None
    furthest: tuple[dict[str, Any], ...] = ()

    def figures(self) -> dict[str, Any]:
        """What the result says of it."""
        return {
            "disagreed": self.disagreed,
            "distance": self.distance,
            "latency": self.latency,
            "labelled": self.labelled,
            "value": self.pair.candidate if self.pair else None,
            "champion_value": self.pair.champion if self.pair else None,
        }


def _row(captured: Requests, place: int, ours: Answers, theirs: Answers, number: int) -> dict[str, Any]:
    """One row with both answers, as JSON."""
    row = captured.frame.iloc[place].drop("prediction_id")
    answers = {
        who: {"prediction": side.predictions[number], "probability": side.probabilities and side.probabilities[number]}
        for who, side in (("champion", ours), ("challenger", theirs))
    }
    inputs = {str(name): value for name, value in row.astype(object).where(row.notna(), None).items()}
    return {"id": str(captured.frame["prediction_id"].iloc[place]), "inputs": inputs, **answers}
