"""Frames of example records, as the tables get them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis.abrow import ABRow
from analysis.group import Group
from analysis.sources import records
from analysis.sources.columns import METRIC_NAMES, OPTIONAL
from analysis.sources.frame import Frame
from runner.store.session_run import view
from tests.support.derive import typed


def frame_of(found: Iterable[dict[str, Any]]) -> Frame:
    """With every metric. Records that share the examples' session id get one of their own each."""
    own = [{**one, "session": {**one["session"], "id": f"{number:016x}"}} for number, one in enumerate(found)]
    return records.frame_of((view(typed(one)) for one in own), [*METRIC_NAMES, *OPTIONAL])


GROUP = Group(
    gpu="h200",
    model="qwen2.5-7b",
    ctx=2048,
    quant="bf16",
    kernel="cublas",
    runtime="eager",
    cache="static",
    dtype="bf16",
    attention="sdpa",
    weights_id="synthetic-v1",
    options="",
    scheme="",
    cell_key="0" * 12,
    protocol="paper-5-30",
    code_key="0" * 12,
    env_key="0" * 12,
    status="measured",
    valid=True,
    sessions=1,
    disturbed=0,
    last_start_ms=0,
    gate_version="2",
    hosts=["0" * 12],
    flags=[],
    reasons=[],
)
"""A group of one session, without a metric."""

AB_ROW = ABRow(
    gpu="h200",
    model="qwen2.5-7b",
    ctx=2048,
    quant="bf16",
    kernel="cublas",
    cache="static",
    attention="sdpa",
    dtype="bf16",
    weights_id="synthetic-v1",
    options="",
    field="runtime",
    arm_a="eager",
    arm_b="graph",
    implied={},
    study="adhoc",
    bandwidth_gbs=4800.0,
    sessions=10,
    unused=0,
    unused_reasons=[],
    planned=10,
    missing=0,
    unnamed=[],
    unmeasured={},
    hosts=1,
    a_ms=20.0,
    b_ms=10.0,
    ratio=2.0,
    ratio_low=1.8,
    ratio_high=2.2,
    interval="ci95",
    bootstrap_low=None,
    bootstrap_high=None,
    cv_a=0.01,
    cv_b=0.01,
    sessions_needed=None,
    kernels_a=None,
    kernels_b=None,
    busy_a_ms=None,
    busy_b_ms=None,
    launch_us=None,
    read_gbs=None,
    verdict="FASTER",
    reason="",
    as_declared=True,
    extension_due=0,
    flags=[],
    paper=None,
    protocol="paper-5-30",
    cell_key_a="0" * 12,
    code_key_a="0" * 12,
    env_key_a="0" * 12,
    cell_key_b="1" * 12,
    code_key_b="0" * 12,
    env_key_b="0" * 12,
    last_start_ms=0,
    ab="0" * 12,
)
"""An A/B of eager against graph."""
