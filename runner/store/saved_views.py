"""Four saved views for MLflow's UI (its menu "Views"): sessions, cells, A/Bs, and what failed.

MLflow stores a view as a tag of the experiment, `mlflow.sharedViewState.<id>`. The format is that of MLflow 3.17's UI;
a UI without such views shows its default table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TAG_PREFIX = "mlflow.sharedViewState."
CREATED_MS = 1_760_000_000_000  # a constant keeps the tags equal in every store
SESSIONS, CELLS, COMPARISONS, FAILURES = "sessions", "cells", "comparisons", "failures"
IS_SESSION, IS_COMPARISON, IS_FAILURE = "tags.session LIKE '%'", "tags.ab LIKE '%'", "tags.reason LIKE '%'"
IS_FINISHED = "attributes.status = 'FINISHED'"
GROUP_TAG = "group"
STEP_MS, R_FLOOR, P90_MS = "latency/step_wall_ms", "floor/r_floor", "latency/step_wall_p90_ms"
SHORT_TAGS: Mapping[str, str] = {"ms/step": STEP_MS, "r_floor": R_FLOOR, "p90": P90_MS}
"""Tag → the metric that it repeats, with three decimals. The column of a metric shows its full name and all digits, so
that the first columns would not fit into a window of 1280 pixels."""
SECTIONS = ("latency", "floor", "energy", "gate", "probe", "bytes", "memory", "gpu", "cost", "cell")
"""Prefixes of the metrics, in the order of their sections in the charts."""
HEADLINE = "step time, r_floor"
"""The first section of the charts, which is the only open one."""
NAME, CREATED = "attributes.`Run Name`", "runDateAndNestInfo"
"""MLflow's identifiers of the pinned columns."""

Widths = Mapping[str, int]
"""Identifier of a column → its width in pixels. The columns have this order."""


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


SESSION_COLUMNS: Widths = {
    _tag("gpu"): 60,
    _tag("model"): 110,
    _tag("ctx"): 64,
    _tag("quant"): 76,
    _tag("runtime"): 88,
    _tag("ms/step"): 76,
    _tag("r_floor"): 68,
    _tag("p90"): 74,
    _tag("valid"): 56,
    _tag("flags"): 200,
    _tag("cache"): 85,
    _tag("kernel"): 115,
    _tag("study"): 120,
    _metric(STEP_MS): 165,
    _metric(R_FLOOR): 105,
    _metric(P90_MS): 195,
    _metric("floor/r_floor_achievable"): 180,
}
CELL_COLUMNS: Widths = {
    _metric(STEP_MS): 180,
    _metric(R_FLOOR): 125,
    _metric(P90_MS): 190,
    _metric("floor/r_floor_achievable"): 210,
}
COMPARISON_COLUMNS: Widths = {
    _metric("ab/ratio"): 80,
    _metric("ab/ratio_low"): 100,
    _metric("ab/ratio_high"): 106,
    _tag("verdict"): 88,
    _metric("ab/a_ms"): 74,
    _metric("ab/b_ms"): 74,
    _metric("ab/sessions"): 105,
    _tag("gpu"): 70,
    _tag("model"): 105,
    _tag("ctx"): 65,
    _tag("flags"): 200,
    _tag("study"): 120,
}
FAILURE_COLUMNS: Widths = {_tag("reason"): 130, _tag("message"): 230, _tag("reasons"): 230, _tag("exit_code"): 90}


def view_tags() -> dict[str, str]:
    """Returns the experiment's tags that define the views. The menu shows them in this order."""
    sessions = f"{IS_FINISHED} AND {IS_SESSION}"
    cells = {**_table(sessions, CELL_COLUMNS, name_width=328), **_charts(), **_grouped()}
    views = {
        SESSIONS: ("Sessions", {**_table(sessions, SESSION_COLUMNS, name_width=151), **_charts()}),
        CELLS: ("Cells: mean of sessions (tables use medians)", cells),
        COMPARISONS: ("A/B", _table(IS_COMPARISON, COMPARISON_COLUMNS, name_width=300)),
        FAILURES: ("Failed", _table(f"attributes.status != 'FINISHED' AND {IS_FAILURE}", FAILURE_COLUMNS, 330)),
    }
    return {
        f"{TAG_PREFIX}{key}": _saved(name, CREATED_MS - place, state)
        for place, (key, (name, state)) in enumerate(views.items())
    }


def address(server: str, experiment_id: str) -> str:
    """Returns the address of the view *Sessions* of an experiment on an MLflow server."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={SESSIONS}&workflowType=machine_learning"


def _saved(name: str, created_ms: int, state: dict[str, Any]) -> str:
    """Returns a view as MLflow stores it. The menu shows the view with the latest time first."""
    return json.dumps({"name": name, "createdAt": created_ms, "updatedAt": created_ms, "state": json.dumps(state)})


def _table(search: str, columns: Widths, name_width: int) -> dict[str, Any]:
    """Returns the state of a table of these columns, with the newest run first."""
    widths = {NAME: name_width, CREATED: 130, **columns}
    return {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [*columns],
        "columnOrder": [*widths],
        "columnWidths": widths,
    }


def _grouped() -> dict[str, Any]:
    """Returns the state that makes each group of sessions a row, with the mean of each metric."""
    return {"groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": GROUP_TAG}]}}


def _charts() -> dict[str, Any]:
    """Returns the state of the charts. MLflow fills each closed section with the metrics that have its prefix."""
    headline = {**_section(HEADLINE, is_open=True), "columns": 2, "cardHeight": 420}
    sections = [headline, *(_section(name, is_open=False) for name in SECTIONS)]
    bars = [_bars(STEP_MS), _bars(R_FLOOR)]
    return {"compareRunSections": sections, "compareRunCharts": bars, "isAccordionReordered": True}


def _section(name: str, is_open: bool) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": is_open, "isReordered": False}


def _bars(metric: str) -> dict[str, Any]:
    return {
        "uuid": metric,
        "type": "BAR",
        "metricKey": metric,
        "metricSectionId": HEADLINE,
        "displayName": metric,
        "runsCountToCompare": 20,
        "isGenerated": False,
        "deleted": False,
    }
