"""Three saved views for MLflow's UI (its menu "Views"): every session, one row and bar per cell, and every A/B.

MLflow stores a view as a tag of the experiment, `mlflow.sharedViewState.<id>`. The format is that of MLflow 3.17's UI;
a UI without such views shows its default table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

TAG_PREFIX = "mlflow.sharedViewState."
CREATED_MS = 1_760_000_000_000  # the menu sorts by this time; a constant keeps the tags equal in every store
NUMBERS = ("cell/ctx", "latency/step_wall_ms", "floor/r_floor", "floor/r_floor_achievable")
WORDS = ("gpu", "model", "quant", "runtime", "cache", "valid", "flags", "study")
OPEN_SECTIONS = ("floor", "latency")
CLOSED_SECTIONS = ("gate", "probe", "bytes", "memory", "gpu", "cost", "cell")
CELLS, SESSIONS, COMPARISONS = "cells", "sessions", "comparisons"
AB_NUMBERS = ("ab/ratio", "ab/ratio_low", "ab/ratio_high", "ab/a_ms", "ab/b_ms", "ab/sessions")
AB_WORDS = ("verdict", "gpu", "model", "ctx", "study")
IS_SESSION, IS_COMPARISON = "tags.session LIKE '%'", "tags.ab LIKE '%'"
GROUP_TAG = "group"


def view_tags() -> dict[str, str]:
    """Returns the experiment's tags that define the views."""
    return {
        f"{TAG_PREFIX}{CELLS}": _saved("Cells", _cells()),
        f"{TAG_PREFIX}{SESSIONS}": _saved("Sessions", _sessions()),
        f"{TAG_PREFIX}{COMPARISONS}": _saved("A/B", _comparisons()),
    }


def cells_address(server: str, experiment_id: str) -> str:
    """Returns the address of the view *Cells* of an experiment on an MLflow server."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={CELLS}&workflowType=machine_learning"


def _saved(name: str, state: dict[str, Any]) -> str:
    return json.dumps({"name": name, "createdAt": CREATED_MS, "updatedAt": CREATED_MS, "state": json.dumps(state)})


def _sessions() -> dict[str, Any]:
    return {**_charts(), "selectedColumns": [*_metrics(NUMBERS), *_tags(WORDS)], "searchFilter": IS_SESSION}


def _comparisons() -> dict[str, Any]:
    return {"selectedColumns": [*_metrics(AB_NUMBERS), *_tags(AB_WORDS)], "searchFilter": IS_COMPARISON}


def _cells() -> dict[str, Any]:
    """Returns the view of valid sessions, with the mean of each group as a row."""
    return {
        **_charts(),
        "selectedColumns": _metrics(NUMBERS),
        "searchFilter": f"attributes.status = 'FINISHED' AND {IS_SESSION}",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": GROUP_TAG}]},
    }


def _metrics(names: Iterable[str]) -> list[str]:
    return [f"metrics.`{name}`" for name in names]


def _tags(names: Iterable[str]) -> list[str]:
    return [f"tags.`{name}`" for name in names]


def _charts() -> dict[str, Any]:
    """Returns the sections, the most important first. MLflow fills each with the metrics that have its prefix."""
    sections = [_section(name, open_=True) for name in OPEN_SECTIONS]
    sections += [_section(name, open_=False) for name in CLOSED_SECTIONS]
    return {"compareRunSections": sections, "compareRunCharts": [], "isAccordionReordered": True}


def _section(name: str, open_: bool) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": open_, "isReordered": False}
