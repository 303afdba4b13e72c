"""Is the session valid, and is it suspect? A pure function of the record, so that anyone can judge it again.

Reasons make a session invalid (it is kept, and never enters a table); flags mark a right but suspect one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner import registry
from runner.cell import attention, floors
from runner.record import gaterules, heldbytes
from runner.record.flags import DISTURBED, PASSES_DISAGREE, SHARED_CARD
from runner.record.gaterules import NOT_FINITE, is_told
from runner.record.metrics import lookup, passes_disagreement

R_FLOOR_LIMIT = 1.02
DISAGREEMENT_LIMIT = 0.1
DRIFT_LIMIT = 0.05
BUSY_HOST_CORES = 0.5
DISTURBED_SHARE = 0.25
VERIFY_LIMIT_BYTES = 10**9
LIMITS = {  # as the record states them
    "r_floor": R_FLOOR_LIMIT,
    "drift": DRIFT_LIMIT,
    "other_cpu_cores": BUSY_HOST_CORES,
    "disturbed_share": DISTURBED_SHARE,
    "passes_disagreement": DISAGREEMENT_LIMIT,
    "verify_extra_bytes": VERIFY_LIMIT_BYTES,
}

Record = Mapping[str, Any]


def _gate_reasons(record: Record) -> Iterator[str]:
    if "not_finite" in record["gate"]:  # records of before it was looked for lack it
        yield f"logits are not finite: {_not_finite(record)}"
    yield from gaterules.reasons(record["gate"])


def _not_finite(record: Record) -> str:
    """The first weight that is not finite and what to do; where all are, which path is at fault."""
    gate, dtype = record["gate"], record["cell"]["dtype"]
    tensor, value, how = (gate["not_finite"][name] for name in ("tensor", "value", "how"))
    wider = ": choose dtype=bf16 or fp32" if dtype == "fp16" else ""
    if how == "stored":
        return f"{tensor} holds {value}: fetch or make the checkpoint again"
    if how == "converted":
        return f"{tensor} is finite in the checkpoint, and holds {value} in {dtype}{wider}"
    if how == "dequantised":
        return f"{tensor} is finite as it is packed, and holds {value} once dequantised to {dtype}{wider}"
    if gate["trusted_error"] == NOT_FINITE:
        return f"every weight is finite, and activations go beyond {dtype}{wider}"
    names = ", ".join(check["name"] for check in gate["checks"] if NOT_FINITE in check["errors"])
    return f"every weight is finite, and so are trusted eager's logits: the step that is timed is at fault ({names})"


def _likeness_reasons(record: Record) -> Iterator[str]:
    """A runtime that replays eager's kernels must leave eager's bits where those are deterministic, else keep within
    the bound; one with kernels of its own may choose another token only where the reference is undecided."""
    cell, bound = record["cell"], record["gate"]["bound"]
    replays = registry.runtime(cell["runtime"]).DECLARATION.replays_eager
    backend = record["actual"]["attention_backend"]
    deterministic = registry.kernel(cell["kernel"]).DECLARATION.deterministic and backend in attention.DETERMINISTIC
    is_first = gaterules.version(record["gate"]) < gaterules.VERSION
    decided = "twice the bound" if is_first else "too wide for rounding"  # a reason that is stored stays what it was
    for likeness in record["gate"].get("eager", ()):
        if is_told(record["gate"], max(likeness["differences"])):
            continue
        name, different = likeness["name"], likeness["equal"].count(False)
        worst, steps = max(likeness["differences"]), len(likeness["equal"])
        undecided = [margin < gaterules.undecided_below(record["gate"]) for margin in likeness["margins"]]
        if replays and deterministic and not all((*likeness["equal"], *likeness["same_token"])):
            yield (
                f"eager {name}: {different} of {steps} steps have other logits than eager's (by {worst:.3g}), though "
                f"{cell['kernel']} and {backend} attention are deterministic"
            )
        elif replays and not worst <= bound:
            yield f"eager {name}: logits differ from eager's by {worst:.3g}, bound {bound:.3g}"
        elif not all(same or open_ for same, open_ in zip(likeness["same_token"], undecided, strict=False)):
            yield f"eager {name}: another token than eager's, though the reference's margin is {decided}"


def _window_reasons(record: Record) -> Iterator[str]:
    for name, window in record["passes"].items():
        if window.get("collected"):  # records of before it was counted lack it
            yield f"{window['collected']} garbage collections inside the {name} window"
        if window["compiled"]:
            yield f"{window['compiled']} compilations inside the {name} window"
        if window.get("captured"):
            yield f"{window['captured']} captures of CUDA graphs inside the {name} window"
        if window["segments"] and record["cell"]["cache"] != "dynamic":
            yield f"{window['segments']} driver allocations inside the {name} window"


def fits_in_cache(record: Record) -> bool:
    """Returns whether all weights fit into the last-level cache, so that memory need not be read at each step."""
    cache = lookup(record, "gpu.last_level_cache_bytes")
    return bool(cache) and record["bytes"]["weights"] <= cache


def least_ms(record: Record, streamed_bytes: float) -> float | None:
    """Returns the ms that reading `streamed_bytes` takes at least: all but what the last-level cache may hold, at
    `R_FLOOR_LIMIT` times the datasheet's peak. None without a datasheet."""
    peak = lookup(record, "gpu.bandwidth_gbs")
    cached = lookup(record, "gpu.last_level_cache_bytes") or 0
    return None if peak is None else floors.floor_ms(max(0, streamed_bytes - cached), peak) / R_FLOOR_LIMIT


def reasons(record: Record) -> list[str]:
    """Why a measured session is not valid; empty when it is."""
    found = [*_gate_reasons(record), *_likeness_reasons(record), *_window_reasons(record)]
    found += heldbytes.reasons(record)
    r_floor = lookup(record, "floor.r_floor")
    if r_floor is not None and r_floor > R_FLOOR_LIMIT and not fits_in_cache(record):
        found.append(f"r_floor {r_floor:.3f} is impossible (above {R_FLOOR_LIMIT})")
    if record["bytes"]["weights"] != record["bytes"]["weights_measured"]:
        counted = record["bytes"]
        found.append(f"weights take {counted['weights_measured']} bytes on the device, accounted {counted['weights']}")
    extra = lookup(record, "memory.verify_extra_bytes")
    if extra is not None and extra > VERIFY_LIMIT_BYTES:
        found.append(f"verify took {extra} bytes over weights and KV, limit {VERIFY_LIMIT_BYTES}")
    return found


def _throttled(record: Record) -> bool:
    reasons_seen = set()
    for moment in ("before", "after"):
        reasons_seen |= set(lookup(record, f"snapshots.{moment}.throttle_reasons") or ())
    return bool(reasons_seen - {"gpu_idle", "applications_clocks_setting", "display_clock_setting"})


def _shared_card(record: Record) -> bool:
    return any(lookup(record, f"snapshots.{moment}.other_processes") for moment in ("before", "after"))


def _is_disturbed(record: Record) -> bool:
    """True if others kept a quarter of the host's cores or more busy while steps were timed. Records of before there
    was that limit are not asked."""
    others, cores = lookup(record, "passes.wall.other_cpu_cores"), lookup(record, "host.cores")
    limit = lookup(record, "limits.disturbed_share")
    return bool(limit and others and cores) and others / cores >= limit


def _passes_disagree(record: Record) -> bool:
    """True if passes over the same context lengths differ by more than a tenth: no cause can be told from them."""
    return (passes_disagreement(record) or 0) > DISAGREEMENT_LIMIT


def flags(record: Record) -> list[str]:
    """Marks of a right but suspect session, in alphabetical order; `given_flags` are those known before it began."""
    found = set(record.get("given_flags", ()))
    wall = record["passes"]["wall"]
    conditions = {
        "driver-allocations": record["cell"]["cache"] == "dynamic"
        and any(window["segments"] for window in record["passes"].values()),
        "drifting": abs(record["latency"]["drift"]) > DRIFT_LIMIT,
        "imprecise": gaterules.is_imprecise(record["gate"]),
        DISTURBED: _is_disturbed(record),
        "host-busy": (wall.get("other_cpu_cores") or 0) > BUSY_HOST_CORES,
        "in-cache": fits_in_cache(record),
        PASSES_DISAGREE: "passes_disagreement" in record["limits"] and _passes_disagree(record),
        "probe-low": (lookup(record, "floor.r_floor_achievable") or 0) > R_FLOOR_LIMIT,
        SHARED_CARD: _shared_card(record),
        "throttled": _throttled(record),
    }
    found |= {flag for flag, holds in conditions.items() if holds}
    return sorted(found)


def marks(record: Record) -> list[str]:
    """Returns the flags of a record as they are shown: those it has, and what follows from its passes if it was made
    before there was a flag for that."""
    is_older = "passes" in record and "passes_disagreement" not in record["limits"]
    return sorted({*record["flags"], *([PASSES_DISAGREE] if is_older and _passes_disagree(record) else [])})


def judge(record: dict[str, Any]) -> None:
    """Set `valid`, `reasons` and `flags` of a measured record, in place."""
    record["reasons"] = reasons(record)
    record["valid"] = not record["reasons"]
    record["flags"] = flags(record)
