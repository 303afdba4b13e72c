"""The declaration of the fused kernel, and its page, agree with the committed sessions."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runner.kernels import fused
from runner.record import record, spool

ROOT = Path(__file__).parents[3]
RECORDS, PAGE = ROOT / "experiments" / "records", ROOT / "docs" / "fused.md"


@cache
def sessions() -> tuple[dict[str, Any], ...]:
    found = [record.read(path) for path in spool.record_files(RECORDS) if "-fused-" in path.name]
    return tuple(session for session in found if session["valid"] and session["cell"]["runtime"] == "fused")


@pytest.mark.medium
def test_the_architectures_that_were_tried_are_those_of_the_committed_sessions() -> None:
    capabilities = {session["gpu"]["compute_capability"] for session in sessions()}
    assert capabilities == set(fused.DECLARATION.tried or ())


def memory_row(session: dict[str, Any]) -> str:
    """Returns a session's row of the page, in MB: held by the step, and the peak beyond weights and cache."""
    cell, sizes, memory = session["cell"], session["bytes"], session["memory"]
    cache_bytes = sizes["kv"] / cell["ctx"] * sizes["kv_alloc_tokens"]
    step, kernel = (memory["held_bytes"][stage]["allocator"] for stage in ("step", "kernel"))
    beyond = memory["steps_peak_bytes"] - sizes["weights_measured"] - cache_bytes
    held = (step - kernel - cache_bytes) / 1e6
    return f"| {cell['model']} | {cell['ctx']} | {held:.1f} MB | {beyond / 1e6:.0f} MB |"


@pytest.mark.medium
def test_the_documents_memory_is_that_of_the_sessions() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("### Memory")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| .* MB \|$", table, re.MULTILINE)
    usual = [each for each in sessions() if each["protocol"]["name"] == "paper"]
    newest = max(usual, key=lambda each: int(each["session"]["started_ms"]))["keys"]["code_key"]
    assert sorted(shown) == sorted({memory_row(each) for each in usual if each["keys"]["code_key"] == newest})
    sizes = [float(size) for row in shown for size in re.findall(r"([\d.]+) MB", row)]
    assert max(sizes[::2]) <= 64  # the aims
    assert max(sizes[1::2]) <= 500
