"""Example records, complete and self-consistent: raw steps → derived → judged, as in the worker.

The shapes are Qwen2.5-7B's, the device is an H200, the steps are made up and the same in every run.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from typing import Any

from runner import registry
from runner.cell import floors
from runner.cell.cell import LOCAL_PREFIXES, Cell, short_hash
from runner.cell.jsonform import from_json, to_json
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.machine.nvml import SNAPSHOT_FIELDS
from runner.record import bounds, judgement
from runner.record.record import env_key
from runner.record.sections.surroundings import Environment
from tests.support.derive import derive, judge

QWEN_7B = {
    "model_type": "qwen2",
    "layers": 28,
    "hidden": 3584,
    "heads": 28,
    "kv_heads": 4,
    "head_dim": 128,
    "intermediate": 18944,
    "vocab": 152064,
    "tied_embedding": False,
    "qkv_bias": True,
    "rope_theta": 1e6,
    "rope_scaling": None,
    "rms_norm_eps": 1e-6,
    "max_positions": 32768,
}
OLDEST_LIMITS = ("r_floor", "drift", "other_cpu_cores", "verify_extra_bytes")
CODE_OF_GATE_1 = "3fa3070776bb"  # that of the first committed sessions
STARTED_MS = 1_760_000_000_000
SESSION_S, SHORTEST_S = 14.8, 6.2  # without the timed passes, and they at least
BUSY_MS = 4.87
FIRST_ID = "0f3c9a52b7d1e846"
H200 = {
    "key": "h200",
    "name": "NVIDIA H200",
    "bandwidth_gbs": 4800.0,
    "catalogued": True,
    "driver": "580.95.05",
    "last_level_cache_bytes": 62_914_560,
    "memory_bytes": 150_109_880_320,
    "compute_capability": "9.0",
}
H100 = {
    "key": "h100",
    "name": "NVIDIA H100 80GB HBM3",
    "bandwidth_gbs": 3350.0,
    "last_level_cache_bytes": 52_428_800,
    "memory_bytes": 85_520_809_984,
    "compute_capability": "9.0",
}
PACKED = {
    "gptq": (Scheme(128, sym=True), {"sym": "true"}),
    "awq": (Scheme(128), {}),
    "bnb-nf4": (Scheme(64, double_quant=True), {"double-quant": "on"}),
}
PACKED_KERNELS = {
    "exllamav2": "void gemm_half_q_half_gptq_kernel<4, false, false>",
    "marlin": "void marlin::Marlin<__half>",
    "bitsandbytes": "void gemm_4bit_simt<__nv_bfloat16, 1>",
}
CPU = {"key": "cpu", "name": "AMD EPYC", "bandwidth_gbs": None, "catalogued": True, "driver": None}


def example_record(*, step_ms: float = 36.0, busy_ms: float = BUSY_MS, **changes: Any) -> dict[str, Any]:
    """A measured session on an H200, valid unless `changes` break it: its steps take about `step_ms`, and kernels run
    for `busy_ms` of it.

    A change replaces a section or, where both are objects, is merged into it: `cell={"ctx": 4096}`. Steps, graphs, gate
    positions, byte counts and keys follow from the changed cell and protocol; what is derived is derived again.
    """
    head = _asked(_merged(_head(), changes), changes)
    return _finished(head | _measured(head, step_ms, busy_ms), changes)


def packed_record(
    chosen: str = "gptq",
    kernel: str = "exllamav2",
    dtype: str = "fp16",
    step_ms: float = 18.0,
    runtime: str = "eager",
    **changes: Any,
) -> dict[str, Any]:
    """A measured session of quantised weights, in every other way the example; `runtime` is eager or exllamav2."""
    scheme, options = PACKED[chosen]
    cell: dict[str, Any] = {"quant": chosen, "kernel": kernel, "dtype": dtype, "options": options}
    actual: dict[str, Any] = {"kernel": kernel}
    rows = [{"name": PACKED_KERNELS[kernel], "count": 113.0, "us": 3512.6}, *example_record()["kernels"][1:]]
    if runtime == "exllamav2":
        cell |= {"runtime": runtime, "cache": "engine", "attention": "engine", "options": {**options, "sdpa": "flash"}}
        actual |= {
            "runtime": runtime,
            "cache": "engine",
            "graph_mode": "partial",
            "graph_launches_per_step": 56.0,
            "settings": {"embedding": "cpu"},
        }
    return example_record(
        step_ms=step_ms,
        request={"quant": chosen},
        cell=cell,
        model={"scheme": scheme.to_json()},
        actual=actual,
        kernels=rows,
        gate=precise_errors(changes.get("protocol", {})) if dtype == "fp16" else {},
        **changes,
    )


def precise_errors(protocol: dict[str, Any] | None = None) -> dict[str, Any]:
    """A tenth of the example's errors, as float16 has them: of the gate's checks, and trusted eager's at each step."""
    gate: dict[str, Any] = example_record(protocol=protocol or {})["gate"]
    for check in gate["checks"]:
        for series in ("errors", "trusted"):
            check[series] = [error / 10 for error in check[series]]
    return {"checks": gate["checks"], "timed_trusted": [error / 10 for error in gate["timed_trusted"]]}


def fp16_gate() -> dict[str, Any]:
    """Returns the changes to the example's gate for an unquantised session in float16."""
    return {**bounds.cell_bounds("fp16", "eager", "bf16", "cublas", QWEN_7B["hidden"]), **precise_errors()}


def cpu_record(**changes: Any) -> dict[str, Any]:
    """A measured session on a CPU: only the wall clock exists, and no datasheet peak."""
    head = _merged(_head() | {"gpu": dict(CPU)}, {"cell": {"gpu": "cpu", "kernel": "torch-cpu"}})
    head = _asked(_merged(head, changes), changes)
    return _finished(head | _on_cpu(_measured(head, step_ms=400.0)), changes)


def _asked(record: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The record with a request for its very cell, wherever the changes name no other."""
    cell = record["cell"]
    asked = {name: str(cell[name]) for name in ("gpu", "model", "ctx", "quant")}
    place = "local" if cell["weights_id"].startswith(LOCAL_PREFIXES) else "hub"
    asked["weights"] = "synthetic" if cell["weights_id"] == SYNTHETIC_ID else place
    return record | {"request": record["request"] | asked | changes.get("request", {})}


def of_gate_version_1(record: dict[str, Any]) -> dict[str, Any]:
    """The same session as older code judged it: by the worst error alone, its timed steps unchecked."""
    cell, gate = record["cell"], record["gate"]
    kept = {"not_finite": gate["not_finite"]} if "not_finite" in gate else {}
    kept |= {series: [_first_eight(each) for each in gate[series]] for series in ("checks", "eager") if series in gate}
    path = (cell["dtype"], cell["runtime"], cell["quant"], cell["kernel"])
    memory = {name: value for name, value in record["memory"].items() if name != "held_bytes"}
    limits = {name: value for name, value in record["limits"].items() if name in OLDEST_LIMITS}
    gate = {**bounds.version_1_bounds(*path), **kept}
    keys = record["keys"] | {"code_key": CODE_OF_GATE_1}
    return _finished({**record, "keys": keys, "memory": memory, "limits": limits, "gate": gate}, {})


def _first_eight(check: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name == "name" else value[: floors.GATE_STEPS] for name, value in check.items()}


def _finished(record: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    record = _merged(record, changes)
    derive(record)
    judge(record)
    return record


def failed_record(status: str = "failed", **changes: Any) -> dict[str, Any]:
    """A session that was not measured, as the parent writes it when the worker leaves no record."""
    reasons = {
        "oom": "oom",
        "timeout": "worker-timeout",
        "interrupted": "interrupted",
        "infeasible": "infeasible",
    }
    message = "the worker was killed by SIGSEGV; its last output: Fatal Python error"
    outcome = _outcome(
        status,
        reason=reasons.get(status, "worker-failed"),
        message=message,
        signal="SIGSEGV",
        last_output=["loading", "Fatal Python error: Segmentation fault"],
    )
    record = _asked(_merged(_head() | {"outcome": outcome, "reasons": [message]}, changes), changes)
    record["keys"] = {"cell_key": record["keys"]["cell_key"]}
    return record


def _merged(record: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(record)
    for name, change in copy.deepcopy(changes).items():  # an edit of the record must not reach the caller's values
        own = merged.get(name)
        merged[name] = {**own, **change} if isinstance(own, dict) and isinstance(change, dict) else change
    merged["keys"]["cell_key"] = Cell.from_json(merged["cell"]).key
    return merged


def _head() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "session": {"id": FIRST_ID, "study": "adhoc", "index": 0, "seed": 0, "started_ms": STARTED_MS},
        "request": {
            "gpu": "h200",
            "model": "qwen2.5-7b",
            "ctx": "2048",
            "quant": "bf16",
            "weights": "synthetic",
        },
        "cell": {
            "gpu": "h200",
            "model": "qwen2.5-7b",
            "ctx": 2048,
            "quant": "bf16",
            "kernel": "cublas",
            "runtime": "eager",
            "attention": "sdpa",
            "cache": "static",
            "dtype": "bf16",
            "weights_id": "synthetic-v1",
            "options": {},
        },
        "keys": {
            "cell_key": "",
            "code_key": short_hash("code", 12),
            "tree_key": short_hash("tree", 12),
            "env_key": env_key(from_json(Environment, _environment())),
            "host_id": short_hash("host", 12),
        },
        "protocol": {"name": "paper", "warmup": 5, "steps": 30},
        "outcome": {},
        "valid": False,
        "reasons": [],
        "flags": [],
        "given_flags": [],
        "model": {"name": "qwen2.5-7b", "shape": dict(QWEN_7B)},
        "gpu": dict(H200),
    }


def _measured(record: dict[str, Any], step_ms: float, busy_ms: float = BUSY_MS) -> dict[str, Any]:
    cell, protocol, longer = record["cell"], record["protocol"], busy_ms / BUSY_MS
    weights = _weights(record)
    counts = from_json(Protocol, protocol)
    passes = _passes(cell, counts, step_ms, busy_ms)
    if record["session"]["id"] != FIRST_ID:
        _give_own_steps(passes, record["session"]["id"])
    seconds = _seconds(passes)
    total_s = SESSION_S + seconds
    return {
        "session": {**record["session"], "finished_ms": record["session"]["started_ms"] + round(total_s * 1e3)},
        "outcome": _outcome("measured", exit_code=0),
        "snapshots": {"before": _snapshot(record, "before", 34), "after": _snapshot(record, "after", 41)},
        "probes": {
            "read_bytes": 4_294_967_296,
            "read_samples_gbs": _read_samples(record["gpu"]["bandwidth_gbs"]),
            "launch_samples_us": [4.31, 4.28, 4.30, 4.35, 4.29],
        },
        "prefill": {"cold_ms": 412.5, "ms": 61.25},
        "actual": {
            "runtime": cell["runtime"],
            **_graphs(cell),
            "products_per_step": 197.0,
            "kernel": cell["kernel"],
            "kernel_names": [PACKED_KERNELS.get(cell["kernel"], "nvjet_tst_128x8_64x8_1x2_h_bz_TNT")],
            "attention_backend": "flash",
            "cache": cell["cache"],
        },
        "bytes": {"weights": weights, "weights_measured": weights},
        "passes": passes,
        "kernels": [
            {"name": "nvjet_tst_128x8_64x8_1x2_h_bz_TNT", "count": 113.0, "us": 3512.6 * longer},
            {"name": "flash_fwd_splitkv_kernel", "count": 28.0, "us": 148.91 * longer},
            {"name": "(others)", "count": 700.0, "us": 1208.4 * longer},
        ],
        "gate": {
            **_held_to(cell, record["model"]["shape"]["hidden"]),
            "checks": _checks(cell["ctx"], counts, passes),
            **_timed(counts, passes),
            **_beside_eager(cell, protocol),
        },
        "memory": {
            "held_bytes": held(weights, allocated_kv(record)),
            "peak_bytes": 18_250_000_000,
            "verify_extra_bytes": 812_000_000,
        },
        "limits": to_json(judgement.LIMITS),
        "environment": _environment(),
        "host": {
            "cpu": "Intel(R) Xeon(R) Platinum 8480+",
            "cores": 16,
            "memory_bytes": 137_438_953_472,
            "os": "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64",
        },
        "cost_s": {
            "start": 0.21,
            "import": 4.8,
            "probe": 0.35,
            "build": 1.9,
            "reference": 1.7,
            "verify": 0.72,
            "prefill": 0.474,
            "steps": seconds,
            "total": total_s,
        },
    }


def _graphs(cell: dict[str, Any]) -> dict[str, Any]:
    mode = registry.runtime(cell["runtime"]).DECLARATION.graph_mode_with(cell["options"])
    return {"graph_mode": mode, "graph_launches_per_step": float(mode != "none")}


def _weights(record: dict[str, Any]) -> int:
    """Returns the bytes of the cell's weights, packed if the model has a scheme."""
    shape = ModelShape.from_json(record["model"]["shape"])
    if "scheme" not in record["model"]:
        return registry.weight_bytes("bf16", None, shape, 2)
    return registry.weight_bytes(record["cell"]["quant"], from_json(Scheme, record["model"]["scheme"]), shape, 2)


def _read_samples(bandwidth_gbs: float | None) -> list[float]:
    """What an H200 reads of its 4800 GB/s, and another card in proportion."""
    samples = (4448.2, 4450.9, 4451.3, 4449.7, 4450.1)
    return [round(sample * (bandwidth_gbs or 4800) / 4800, 1) for sample in samples]


def held(weights: int, kv: int = 0) -> dict[str, Any]:
    """An eager step: what it holds beside weights and cache fits into the workspace that every session has."""
    loaded = {"allocator": weights + 4_000_000, "device": weights + 14_000_000}
    step = {account: size + kv for account, size in loaded.items()}
    return {"weights": loaded, "kernel": dict(loaded), "step": step}


def allocated_kv(record: dict[str, Any]) -> int:
    """Returns the bytes of keys and values that a static cache has for all positions of the cell's protocol."""
    cell, counts = record["cell"], record["protocol"]
    shape = ModelShape.from_json(record["model"]["shape"])
    rows = floors.kv_alloc_tokens(cell["ctx"], counts["warmup"], counts["steps"])
    return (
        0 if cell["cache"] == "dynamic" else rows * floors.kv_bytes_per_token(shape, floors.DTYPE_BYTES[cell["dtype"]])
    )


def _on_cpu(measured: dict[str, Any]) -> dict[str, Any]:
    """What is left of a GPU's session where there is no GPU."""
    passes = {name: window for name, window in measured["passes"].items() if name in ("wall", "revisit")}
    gate = {
        series: [each for each in measured["gate"][series] if each["name"] not in ("span", "rate", "busy")]
        for series in ("checks", "tokens", "rows")
    }
    probes = {"read_bytes": 536_870_912, "read_samples_gbs": [40.1, 40.9, 41.2, 41.4, 41.5], "launch_samples_us": []}
    return measured | {
        "passes": passes,
        "gate": {**measured["gate"], **gate},
        "probes": probes,
        "snapshots": {moment: _no_snapshot(measured, moment) for moment in ("before", "after")},
        "memory": {"peak_bytes": 18_250_000_000, "verify_extra_bytes": None},
        "kernels": [],
        "actual": {**measured["actual"], "kernel_names": ["aten::addmm", "aten::mm"]},
    }


def _outcome(status: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"reason": None, "message": None, "exit_code": None, "signal": None, "last_output": []}
    return {"status": status, **fields, **changes}


def _seconds(passes: dict[str, Any]) -> float:
    timed_ms = (sum(window.get("span_ms") or _steps_ms(window) or [window["total_ms"]]) for window in passes.values())
    return max(SHORTEST_S, round(sum(timed_ms) / 1e3 + 1.5, 3))


def _steps_ms(window: dict[str, Any]) -> list[float]:
    in_us = [us / 1e3 for series in window.get("windows_us", ()) for us in series]
    return in_us or window.get("steps_ms", [])


def _series(steps: int, middle: float, spread: float = 0.002) -> list[float]:
    """Steps around `middle` with a period of 7, but for a millionth: ±0.6 %, without drift. Each pass has a spread of
    its own."""
    return [round(middle * (1 + spread * ((step * 3) % 7 - 3) * (1 + step / 3e4)), 6) for step in range(steps)]


def as_session(record: dict[str, Any], number: int, later_ms: int = 0) -> dict[str, Any]:
    """The record as session `number` of its cell, begun later: with an id and, if it was measured, steps of its own."""
    record["session"] |= {"id": f"{number:016x}", "index": number}
    moments = [record["session"], *record.get("snapshots", {}).values()]
    for moment in moments:
        moment |= {
            name: moment[name] + later_ms for name in ("started_ms", "finished_ms", "taken_ms") if name in moment
        }
    if "passes" in record:
        _give_own_steps(record["passes"], str(record["session"]["id"]))
        return _finished(record, {})
    return record


def _give_own_steps(passes: dict[str, Any], session: str) -> None:
    """No two sessions have the same steps: each is off by a millionth at most, the slowest five by a thousandth."""
    noise = random.Random(session)
    for name, window in passes.items():
        if name != "busy" and (steps := window.get("steps_ms")):
            own = [step * (1 + 1e-6 * noise.random()) for step in steps]
            for place in sorted(range(len(own)), key=own.__getitem__)[-5:]:
                own[place] *= 1 + 1e-3 * noise.random()
            window["steps_ms"] = [round(step, 9) for step in own]
        if "windows_us" in window:
            window["windows_us"] = [[us + noise.randrange(40) for us in series] for series in window["windows_us"]]


def _wall(counts: Protocol, step_ms: float) -> dict[str, Any]:
    """The wall pass. Several windows have their steps in whole microseconds, and differ by up to 0.1 %."""
    if counts.windows == 1:
        return {"steps_ms": _series(counts.steps, step_ms)}
    noise = random.Random(counts.windows)
    steps = [_series(counts.steps, step_ms) for _ in range(counts.windows)]
    return {"windows_us": [[round(ms * 1e3 * (1 + 1e-3 * noise.random())) for ms in window] for window in steps]}


def _observed(counts: Protocol) -> dict[str, Any]:
    """Facts about the host in the windows of a pass. Older records do not have them."""
    if counts.windows == 1:
        return {}
    return {"voluntary_switches": 3001, "involuntary_switches": 12, "cpu_mhz": [2100.0] * counts.windows}


def _passes(cell: dict[str, Any], counts: Protocol, step_ms: float, busy_ms: float) -> dict[str, Any]:
    """Only a growing cache has lengths to visit again."""
    quiet, steps = {"segments": 0, "compiled": 0, "collected": 0}, counts.other_steps
    passes = {
        "wall": {**_wall(counts, step_ms), "other_cpu_cores": 0.03, **quiet, **_observed(counts)},
        "revisit": {"steps_ms": _series(steps, step_ms + 0.01, 0.0021), "other_cpu_cores": 0.02, **quiet},
        "span": {"steps_ms": _series(steps, step_ms - 0.02, 0.0022), **quiet},
        "rate": {"total_ms": round(steps * (step_ms - 0.05), 6), **quiet},
        "busy": {
            "steps_ms": _series(steps, busy_ms, 0.0023),
            "span_ms": _series(steps, step_ms + 1.0, 0.0024),
            "kernels": [841] * steps,
            **quiet,
        },
    }
    return {name: window for name, window in passes.items() if name != "revisit" or cell["cache"] == "dynamic"}


def _steps_by_pass(counts: Protocol, passes: Iterable[str]) -> dict[str, int]:
    """Name → steps of each pass, and of each window of the wall pass."""
    others = {name: counts.other_steps for name in passes if name != "wall"}
    return dict.fromkeys(counts.wall_windows, counts.steps) | others


def _checks(ctx: int, counts: Protocol, passes: Iterable[str]) -> list[dict[str, Any]]:
    """The steps from 17, those from ctx, and the position where every timed pass or window ends."""
    count = floors.teacher_forced_steps(ctx, counts.warmup, counts.steps)
    positions = {"short": list(range(17, 17 + count)), "ctx": list(range(ctx, ctx + count))}
    positions |= {name: [ctx + counts.warmup + steps - 1] for name, steps in _steps_by_pass(counts, passes).items()}
    return [
        {"name": name, "positions": where, "errors": [0.0121] * len(where), "trusted": [0.0118] * len(where)}
        for name, where in positions.items()
    ]


def _held_to(cell: dict[str, Any], hidden: int) -> dict[str, Any]:
    path = (cell["dtype"], cell["runtime"], cell["quant"], cell["kernel"])
    return {**bounds.cell_bounds(*path, hidden, cell["weights_id"] == SYNTHETIC_ID)}


def _beside_eager(cell: dict[str, Any], protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns the gate's steps of a runtime that is made of eager, each equal to eager's."""
    if not registry.runtime(cell["runtime"]).DECLARATION.made_of_eager:
        return {}
    count = floors.teacher_forced_steps(cell["ctx"], protocol["warmup"], protocol["steps"])
    same = {"equal": True, "differences": 0.0, "repeats": 0.0, "same_token": True, "margins": 0.2}
    series = {name: [value] * count for name, value in same.items()}
    starts = {"short": floors.GATE_SHORT_CTX, "ctx": cell["ctx"]}
    return {"eager": [{"name": name, "positions": [*range(at, at + count)], **series} for name, at in starts.items()]}


def _timed(counts: Protocol, passes: Iterable[str]) -> dict[str, Any]:
    """Each timed step chose the reference's best token, which that of the step before is not. All windows have the same
    tokens."""
    by_pass = _steps_by_pass(counts, passes)
    _, *also = counts.wall_windows
    tokens = [{"name": name, **_tokens(steps)} for name, steps in by_pass.items() if name not in ("rate", *also)]
    tokens[0] |= {"also": also} if also else {}
    return {
        "timed_trusted": [0.0118] * counts.steps,
        "tokens": tokens,
        "rows": [{"name": name, "unwritten": 0, "difference": 0.0, "of_tensor": 0.0} for name in by_pass],
    }


def _tokens(steps: int) -> dict[str, Any]:
    chosen = [7, 8] * (steps // 2) + [7] * (steps % 2)
    return {"chosen": chosen, "regrets": [0.0] * steps, "repeats": [4.5] * steps}


def _snapshot(record: dict[str, Any], moment: str, temperature_c: int) -> dict[str, Any]:
    return {
        **_no_snapshot(record, moment),
        "available": True,
        "why": None,
        "temperature_c": temperature_c,
        "power_w": 121.4,
        "power_limit_w": 700.0,
        "sm_clock_mhz": 1980,
        "sm_clock_max_mhz": 1980,
        "memory_clock_mhz": 3201,
        "memory_clock_max_mhz": 3201,
        "memory_used_bytes": 612_368_384,
        "memory_total_bytes": record["gpu"].get("memory_bytes", 150_754_820_096),
        "utilisation_percent": 0,
        "memory_utilisation_percent": 0,
        "throttle_reasons": ["gpu_idle"] if moment == "before" else [],
        "ecc": {"enabled": True, "corrected": 0, "uncorrected": 0},
        "performance_state": 0,
        "other_processes": 0,
        "process_ids_visible": True,
    }


def _no_snapshot(record: dict[str, Any], moment: str) -> dict[str, Any]:
    taken_ms = record["session"]["started_ms"] + (1_000 if moment == "before" else round(SESSION_S * 1e3))
    return {
        "available": False,
        "why": "no NVIDIA GPU",
        "taken_ms": taken_ms,
        **dict.fromkeys(SNAPSHOT_FIELDS),
    }


def _environment() -> dict[str, Any]:
    return {
        "python": "3.11.7",
        "torch": "2.11.0+cu130",
        "cuda": "13.0",
        "transformers": "5.17.0",
        "triton": "3.6.0",
        "kernel_package": None,
        "driver_major": "580",
        "driver": "580.95.05",
        "accelerate": "1.15.0",
        "threads": 16,
        "interop_threads": 16,
        "synchronise": "auto",
        "matmul_tf32": False,
    }
