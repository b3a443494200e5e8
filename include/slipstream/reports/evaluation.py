"""The page about one candidate: how good it is, against the champion, by slice, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from slipstream.number_formats import figure
from slipstream.reports.page import render

WORST = 3
_MEASURES = ("demographic_parity", "equal_opportunity", "equalized_odds")


def page(model: str, evaluation: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON record that the stage *evaluate* keeps."""
    against = evaluation["comparison"]
    return render(
        "evaluation.html",
        title="Evaluation",
        model=model,
        found=evaluation,
        against=against,
        tone=_tone(evaluation),
        headline=_headline(evaluation),
        slices=_slices(evaluation),
        worse=_worse(against),
        fairness=_fairness(evaluation),
        plots=_plots(evaluation),
    )


def _headline(evaluation: Mapping[str, Any]) -> str:
    """The outcome in one sentence."""
    metric, rows = evaluation["metric"], evaluation["rows"]
    score, base = evaluation["scores"][metric]["value"], evaluation["baseline"][metric]
    sentence = f"{metric} is {figure(score, missing='not defined')} on {rows:,} held-out rows"
    if base is not None:
        sentence += f" (the same answer for every row: {figure(base)})"
    return f"{sentence}. {_against(evaluation)}"


def _against(evaluation: Mapping[str, Any]) -> str:
    against = evaluation["comparison"]
    if against is None:
        return "There is no champion yet to compare with."
    name = f"champion version {against['version']}"
    if against["refused"]:
        return f"It cannot be compared with {name}: {against['refused']}"
    gain = against["figures"][evaluation["metric"]]["gain"]
    if gain["value"] is None:
        return f"It cannot be compared with {name} by {evaluation['metric']}: that is not defined on these rows."
    how = "better" if gain["value"] > 0 else "worse"
    sure = "" if _decided(gain) else "; the interval includes no difference"
    return f"That is {figure(abs(gain['value']))} {how} than {name} on the same {against['rows']:,} rows{sure}."


def _tone(evaluation: Mapping[str, Any]) -> str:
    """The colour of the headline: good or bad only where the interval of the difference leaves zero out."""
    pair = (evaluation["comparison"] or {"figures": {}})["figures"].get(evaluation["metric"])
    if pair is None or not _decided(pair["gain"]):
        return "warn" if evaluation["comparison"] else "good"
    return "good" if pair["gain"]["value"] > 0 else "bad"


def _decided(gain: Mapping[str, Any]) -> bool:
    return gain["low"] is not None and (gain["low"] > 0 or gain["high"] < 0)


def _slices(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each slice column the bars of its judged values and how many values had too few rows."""
    metric = evaluation["metric"]
    columns: dict[str, dict[str, Any]] = {}
    for part in evaluation["slices"]:
        held = columns.setdefault(part["column"], {"column": part["column"], "bars": [], "rest": 0})
        figure = part["figures"].get(metric)
        if figure is None or figure["low"] is None:
            held["rest"] += 1
        else:
            held["bars"].append((f"{part['value']} ({part['rows']:,})", figure["value"], figure["low"], figure["high"]))
    return list(columns.values())


def _worse(against: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The three slices in which the candidate lost most against the champion."""
    judged = [part for part in (against or {"slices": []})["slices"] if (part["pair"]["gain"]["value"] or 0.0) < 0]
    return sorted(judged, key=lambda part: float(part["pair"]["gain"]["value"]))[:WORST]


def _fairness(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each sensitive column its groups, and each difference beside that which the champion makes."""
    champions = {part["column"]: part for part in (evaluation["comparison"] or {"fairness": []})["fairness"]}
    drawn, shown = (evaluation["metric"], "selection_rate"), []
    for part in evaluation["fairness"]:
        before = champions.get(part["column"], {"differences": {}})["differences"]
        names = list(dict.fromkeys(name for group in part["groups"] for name in group["figures"]))
        shown.append(
            {
                "column": part["column"],
                "names": {name: _words(name) for name in names},
                "groups": part["groups"],
                "few": ", ".join(f"{value} ({rows:,})" for value, rows in part["few"]),
                "differences": [(_words(name), value, before.get(name)) for name, value in part["differences"].items()],
                "bars": {_words(name): _bars(part["groups"], name) for name in names if name in drawn},
            }
        )
    return shown


def _words(name: str) -> str:
    """Rates and measures as people say them; metrics have names."""
    return name.replace("_", " ") if name.endswith("_rate") or name in _MEASURES else name


def _bars(groups: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    return {group["value"]: group["figures"][name] for group in groups if group["figures"].get(name) is not None}


def _plots(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The records of the plots in the form that the charts take."""
    drawn = evaluation["plots"]
    plots: dict[str, Any] = dict.fromkeys(("roc", "calibration", "confusion", "residuals"))
    if drawn.get("roc"):
        both = (evaluation["comparison"] or {}).get("roc") or {"candidate": drawn["roc"]}
        plots["roc"] = {who: [tuple(point) for point in curve] for who, curve in both.items()}
    if "calibration" in drawn:
        plots["calibration"] = {"candidate": [(bin_["answer"], bin_["observed"]) for bin_ in drawn["calibration"]]}
    if "confusion" in drawn:
        plots["confusion"] = ([str(label) for label in evaluation["classes"]], drawn["confusion"])
    if "residuals" in drawn:
        plots["residuals"] = {"rows": _middles(drawn["residuals"]["edges"], drawn["residuals"]["counts"])}
    return plots


def _middles(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[float, float]]:
    return [((low + high) / 2, float(count)) for (low, high), count in zip(pairwise(edges), counts, strict=True)]
