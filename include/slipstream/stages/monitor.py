"""Monitor: holds what came since training against the champion's training reference, and may ask for retraining."""

from __future__ import annotations

import io
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from slipstream.errors import SpecError, StageError, shown
from slipstream.estimators import LOWER_IS_BETTER
from slipstream.spec import ModelSpec
from slipstream.stages.contract import Result, Stage, champion_of, once, run_key
from slipstream.stages.window import Origin, Window, origin_of
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint

if TYPE_CHECKING:
    import pandas as pd

    from slipstream.scoring.drift import ColumnDrift
    from slipstream.scoring.profile import Profile

STAGE = Stage("monitor", version=1, event="drift.measured")
READS = ("target", "evaluate", "monitor", "retrain")
NOTHING_NEW = "Nothing new since training."
NAMED = 5
"""So many columns are named in a sentence."""

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Monitored(Result):
    """How a window compares with the training reference.

    Attributes:
        champion: The version that was watched.
        window: From when to when, or how many rows, in words.
        rows: Rows of the window; 0 when nothing is new, and then nothing was committed either.
        verdict: One sentence.
        drifted: Whether at least ``monitor.drift.share`` of the watched columns drifted.
        drifted_columns: Which, largest statistic first.
        columns: How many were watched.
        quality: The deciding metric on the rows whose truth is known; None where it is not.
        quality_reference: The same at training, on rows that were held out.
        quality_lost: Whether it is worse by more than ``monitor.quality.max_loss``.
        retrain: Why retraining was asked for, one sentence; empty when it was not.
        report: Digest of our HTML report; empty without rows.
        evidently: Digest of Evidently's, which runs what is in the data: serve it sandboxed only. Empty if not made.
        details: Digest of all figures, JSON.
    """

    champion: int
    window: str = ""
    rows: int = 0
    verdict: str = NOTHING_NEW
    drifted: bool = False
    drifted_columns: tuple[str, ...] = ()
    columns: int = 0
    quality: float | None = None
    quality_reference: float | None = None
    quality_lost: bool = False
    retrain: str = ""
    report: str = ""
    evidently: str = ""
    details: str = ""


@dataclass(frozen=True)
class Champion:
    """The version that is watched, and the runs that it came from."""

    number: int
    bundle: str
    candidate: str
    evaluation: str
    dataset: str


def monitor(spec: ModelSpec, store: Store, *, actor: str = "") -> Monitored:
    """Compare the rows of ``monitor.source`` with the champion's training reference.

    Raises:
        NotFound: ``champion_missing``.
        SpecError: ``monitor.drift.columns`` names a column that the champion does not read.
        BundleError: the champion's bundle cannot be trusted.
    """
    number, registered = champion_of(store, spec)
    made = registered.data["result"]
    champion = Champion(number, made["bundle"], made["candidate"], made["evaluation"], made["dataset"])
    origin = origin_of(spec, store, number, champion.dataset)
    if not origin.id:
        return Monitored(champion=number)
    part = spec.part(*READS) | {"time": spec.data.time, "seed": spec.seed}
    key = run_key(STAGE, part, {"bundle": champion.bundle, "version": number, "window": origin.id})
    result = once(
        STAGE,
        spec,
        store,
        key,
        lambda run: _monitor(spec, store, champion, origin),
        result=Monitored,
        actor=actor,
        record=lambda found, _: {"verdict": found.verdict, "version": number},
    )
    if result.retrain:
        evidence = {"details": result.details, "report": result.report, "columns": list(result.drifted_columns)}
        payload = {"reason": result.retrain, "run": result.run, "version": number, "evidence": evidence}
        store.ledger.append("retrain.requested", spec.name, payload, key=result.run, actor=actor)
        faultpoint("monitor.requested")
    return result


def _monitor(spec: ModelSpec, store: Store, champion: Champion, origin: Origin) -> Monitored:
    from slipstream.scoring.bundle import open_bundle
    from slipstream.scoring.profile_file import from_parquet

    bundle = open_bundle(store, champion.bundle)
    reference = from_parquet(bundle.files["profile.parquet"])
    watched = _watched(spec, champion, reference)
    with origin.open(reference) as window:
        named = _named(window)
        if window.rows < spec.monitor.min_rows:
            verdict = f"Not enough data: {window.rows:,} rows, monitor.min_rows asks for {spec.monitor.min_rows:,}."
            return Monitored(champion=champion.number, window=named, rows=window.rows, verdict=verdict)
        return _Measuring(spec, store, champion, reference, watched).of(window, named, bundle.files)


def _watched(spec: ModelSpec, champion: Champion, reference: Profile) -> tuple[str, ...]:
    """The inputs that count for the verdict."""
    inputs = tuple(name for name, column in reference.columns.items() if column.role == "input")
    for name in spec.monitor.drift.columns:
        if name not in inputs:
            message = (
                f"{spec.name}: monitor.drift.columns: {shown(name)} is no input of version {champion.number}; "
                f"inputs: {', '.join(inputs[:30])}."
            )
            raise SpecError(message, code="spec_column_unknown")
    return spec.monitor.drift.columns or inputs


def _named(window: Window) -> str:
    return f"{window.first[:10]} to {window.last[:10]}" if window.first else f"{window.rows:,} rows"


@dataclass(frozen=True)
class _Measuring:
    """One comparison of a window with a reference."""

    spec: ModelSpec
    store: Store
    champion: Champion
    reference: Profile
    watched: tuple[str, ...]

    def of(self, window: Window, named: str, files: Any) -> Monitored:
        """Profile, score, judge, and keep the figures and the pages."""
        from slipstream.reports import drift as report
        from slipstream.scoring.drift import Methods, drifts, figures
        from slipstream.stages.scored import scored

        settings = self.spec.monitor.drift
        done = scored(self.spec, self.store, self.champion, window)
        now = self.reference.on(window.relation, done.answers)
        found = drifts(self.reference, now, Methods(settings.numeric, settings.categorical, settings.threshold))
        watched = [column for column in found if column.column in self.watched]
        if not watched:
            raise StageError(f"{self.spec.name}: {_left_out(window)}; name other columns.", code="inputs_not_kept")
        drifted = sorted((c for c in watched if c.drifted), key=lambda c: (-c.statistic, c.column))
        is_drift = len(drifted) >= settings.share * len(watched)
        _log.info("%s: %d of %d columns drifted", self.spec.name, len(drifted), len(watched))
        said = _sentence(self.spec, drifted, len(watched), f"{window.rows:,} rows{_when(window)}")
        verdict = "; ".join(filter(None, (said + _quality_said(done.quality), _left_out(window)))) + "."
        details = {
            "champion": asdict(self.champion),
            "source": self.spec.monitor.source,
            "window": {"rows": window.rows, "first": window.first, "last": window.last, "named": named},
            "verdict": verdict,
            "drifted": is_drift,
            "share": settings.share,
            "watched": [column.column for column in watched],
            "left_out": list(window.left_out),
            "columns": figures(found, self.reference, now),
            "quality": done.quality and asdict(done.quality),
        }
        lost = bool(done.quality and done.quality.lost)
        asked = (self.spec.retrain.drift and is_drift) or (self.spec.retrain.quality and lost)
        return Monitored(
            champion=self.champion.number,
            window=named,
            rows=window.rows,
            verdict=verdict,
            drifted=is_drift,
            drifted_columns=tuple(column.column for column in drifted),
            columns=len(watched),
            quality=done.quality.now.value if done.quality else None,
            quality_reference=done.quality.reference.value if done.quality else None,
            quality_lost=lost,
            retrain=verdict if asked else "",
            report=self.store.objects.put(report.page(self.spec.name, details | {"retrain": asked})),
            evidently=self._evidently(done.frame, files["background.parquet"]) if self.spec.monitor.evidently else "",
            details=self.store.objects.put_json(details),
        )

    def _evidently(self, frame: pd.DataFrame, background: bytes) -> str:
        """Digest of Evidently's report on the scored rows and the background sample."""
        import pandas as pd

        from slipstream.reports.evidently_page import Settings, page

        before = pd.read_parquet(io.BytesIO(background))
        kinds = {name: column.kind for name, column in self.reference.columns.items() if name in frame.columns}
        names = [name for name in kinds if not frame[name].isna().all() and not before[name].isna().all()]
        numbers = tuple(name for name in names if kinds[name] == "number")
        drift = self.spec.monitor.drift
        words = tuple(name for name in names if kinds[name] == "word")
        settings = Settings(numbers, words, drift.numeric, drift.categorical, drift.threshold, drift.share)
        return self.store.objects.put(page(settings, before, frame))


def _when(window: Window) -> str:
    return f" from {window.first[:10]} to {window.last[:10]}" if window.first else ""


def _left_out(window: Window) -> str:
    named = ", ".join(window.left_out[:NAMED]) + (", ..." if len(window.left_out) > NAMED else "")
    return f"not judged, because deploy.capture does not keep them: {named}" if named else ""


def _sentence(spec: ModelSpec, drifted: list[ColumnDrift], count: int, rows: str) -> str:
    threshold = spec.monitor.drift.threshold
    named = [f"{c.column} {c.method} {c.statistic:.3g} > {max(threshold, c.noise):.3g}" for c in drifted[:NAMED]]
    more = ", ..." if len(drifted) > NAMED else ""
    evidence = f" ({', '.join(named)}{more})" if named else ""
    return f"{len(drifted)} of {count} inputs drifted in {rows}{evidence}"


def _quality_said(quality: Any) -> str:
    if quality is None:
        return ""
    before, now = quality.reference.value, quality.now.value
    if not quality.lost:
        return f"; {quality.metric} {now:.3f}, at training {before:.3f}"
    return (
        f"; {quality.metric} {'rose' if quality.metric in LOWER_IS_BETTER else 'fell'} from {before:.3f} to {now:.3f}"
    )
