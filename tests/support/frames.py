"""Frames of example records, as the tables get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis.sources import records
from analysis.sources.columns import METRIC_NAMES, OPTIONAL
from analysis.sources.frame import Frame
from runner.store.session_run import view


def frame_of(found: Iterable[dict[str, Any]]) -> Frame:
    """With every metric. Records that share the examples' session id get one of their own each."""
    own = [{**one, "session": {**one["session"], "id": f"{number:016x}"}} for number, one in enumerate(found)]
    return records.frame_of(map(view, own), [*METRIC_NAMES, *OPTIONAL])
