"""Times, memory and probes: nothing else is derived from them, and yet they cannot be anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.cell import floors
from runner.cell.vocabulary import CUDA
from runner.record import gaterules, heldbytes, judgement
from runner.record.structure import shown
from runner.record.verify.line import above, below
from runner.record.verify.passes import device_kind

PHASES = ("probe", "build", "reference", "verify")  # those besides that the schema asks for
NO_PHASES = ("total", "fixed")
MUST_HOLD = {"weights": "the weights", "kernel": "the kernel's weights", "step": "those and the cache"}
SLACK_S, PHASE_SLACK_S = 1.0, 0.05  # between two clocks that are read on a busy host, and within one clock

Record = Mapping[str, Any]


def differences(found: Record) -> Iterator[str]:
    """Yields a line for each figure that this machine, or any, cannot have had."""
    counts_held = device_kind(found["cell"]) == CUDA and gaterules.version(found["gate"]) >= gaterules.VERSION
    if ("held_bytes" in found["memory"]) != counts_held:
        yield f"memory.held_bytes: {'missing' if counts_held else 'there, though this session counted none'}"
    yield from _held_differences(found)
    yield from _peak_differences(found)
    yield from _probe_differences(found)
    yield from _prefill_differences(found)
    if missing := [phase for phase in PHASES if phase not in found["cost_s"]]:
        yield f"cost_s: without {', '.join(missing)}"
    else:
        yield from _cost_differences(found)
        yield from _period_differences(found)


def _held_differences(found: Record) -> Iterator[str]:
    """Weights that were measured and the cache of this context are held, and all of it is no more than the peak."""
    held = found["memory"].get("held_bytes")
    if held is None:
        return
    for stage, least in heldbytes.required(found).items():
        yield from below(f"memory.held_bytes.{stage}", held[stage]["allocator"], least, MUST_HOLD[stage])
    if held["step"]["allocator"] > found["memory"]["peak_bytes"]:
        yield f"memory.held_bytes.step: {held['step']['allocator']}, more than the peak"
    scratch = found["actual"].get("settings", {}).get(heldbytes.SCRATCH)
    if scratch is not None and not scratch.isdecimal():
        yield f"actual.settings.{heldbytes.SCRATCH}: {shown(scratch)} is no number of bytes"


def _peak_differences(found: Record) -> Iterator[str]:
    """Weights and KV cache were in memory together, and memory holds no more than there is."""
    memory = found["memory"]
    least = found["bytes"]["weights_measured"] + _cache_bytes(found)
    yield from below("memory.peak_bytes", memory["peak_bytes"], least, "weights and KV cache")
    if available := found["gpu"].get("memory_bytes") or found["host"]["memory_bytes"]:
        yield from above("memory.peak_bytes", memory["peak_bytes"], available, "the device has")
    if memory.get("verify_extra_bytes") is None and device_kind(found["cell"]) == CUDA:
        yield "memory.verify_extra_bytes: missing"


def _cache_bytes(found: Record) -> int:
    """A static cache has all of its rows from the start, a growing one those of the context at least."""
    per_token = int(found["bytes"]["kv"]) // found["cell"]["ctx"]
    tokens = found["bytes"]["kv_alloc_tokens"] if found["cell"]["cache"] == "static" else found["cell"]["ctx"]
    return int(per_token * tokens)


def _probe_differences(found: Record) -> Iterator[str]:
    """The read probe reads past the cache, and no faster than the datasheet allows."""
    probes, peak = found["probes"], found["gpu"]["bandwidth_gbs"]
    at_least = floors.PROBE_CACHES * (found["gpu"].get("last_level_cache_bytes") or 0)
    if probes.get("read_bytes", at_least) < at_least:
        yield f"probes.read_bytes: {probes['read_bytes']}, at least {at_least} are read past the cache"
    if peak is not None:
        most = peak * judgement.R_FLOOR_LIMIT
        yield from above("probes.read_samples_gbs", max(probes["read_samples_gbs"]), most, "the datasheet's peak")
    samples = {"read_samples_gbs": floors.PROBE_SAMPLES}
    samples["launch_samples_us"] = floors.PROBE_SAMPLES if device_kind(found["cell"]) == CUDA else 0
    for name, count in samples.items():
        if len(probes[name]) != count:
            yield f"probes.{name}: {len(probes[name])} samples, the probe takes {count}"


def _prefill_differences(found: Record) -> Iterator[str]:
    """A prompt's tokens need every weight once."""
    counted = found["bytes"]
    least = judgement.least_ms(found, counted["weights"] - counted["embedding"])
    for name in ("cold_ms", "ms"):
        yield from below(f"prefill.{name}", found["prefill"][name], least, "reading the weights once takes")


def _cost_differences(found: Record) -> Iterator[str]:
    """Phases follow one another, and each lasts as long as what was timed in it."""
    costs = found["cost_s"]
    added = sum(seconds for phase, seconds in costs.items() if phase not in NO_PHASES)
    yield from above("cost_s", added, costs["total"] + SLACK_S, "its total")
    prefill_s = (found["prefill"]["cold_ms"] + found["prefill"]["ms"]) / 1e3
    yield from below("cost_s.prefill", costs["prefill"] + PHASE_SLACK_S, prefill_s, "both prefills took")
    timed_s = sum(_total_ms(window) for window in found["passes"].values()) / 1e3
    yield from below("cost_s.steps", costs["steps"] + PHASE_SLACK_S, timed_s, "the timed passes took")


def _total_ms(window: Record) -> float:
    if "total_ms" in window:
        return float(window["total_ms"])
    return float(sum(window.get("span_ms") or window["steps_ms"]))


def _period_differences(found: Record) -> Iterator[str]:
    """The session's clock and the card's snapshots agree on when it was, and for how long."""
    session, total_s = found["session"], found["cost_s"]["total"]
    started, finished = session["started_ms"], session["finished_ms"]
    if finished < started:
        yield "session.finished_ms: before it began"
    elif abs((finished - started) / 1e3 - total_s) > SLACK_S:
        yield f"session.finished_ms: {(finished - started) / 1e3:g} s after it began, cost_s.total is {total_s:g}"
    moments = [found["snapshots"][moment]["taken_ms"] for moment in ("before", "after")]
    ordered = [started, *moments, finished]
    if finished >= started and ordered != sorted(ordered):
        yield f"snapshots: taken at {', '.join(map(str, moments))}, not within the session, one after the other"
