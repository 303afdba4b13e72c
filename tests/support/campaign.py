"""A made-up campaign of any size: cells as the resolver gives them, their sessions and A/Bs, drawn from a seed.

Every record is one that `runner verify` accepts and every manifest fits its records: the steps are drawn, all that
follows from them is derived and judged as in the worker. Equal arguments give equal records, in the same order.
"""

from __future__ import annotations

import functools
import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice, product
from typing import Any

import numpy as np

from runner import registry
from runner.ab import arms, blocks, manifest
from runner.ab.arms import Pair
from runner.ab.manifest import Manifest, SessionEntry
from runner.cell import catalogue, floors
from runner.cell.cell import Cell, short_hash
from runner.cell.jsonform import to_json
from runner.checkpoints import contentid
from runner.launch.session import SESSION_ID_LENGTH
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request
from runner.plan.resolve import Plan, resolve
from runner.record import bounds
from tests.support.derive import derive, env_key, file_name, judge
from tests.support.records import (
    PACKED_KERNELS,
    SESSION_S,
    STARTED_MS,
    allocated_kv,
    example_record,
    failed_record,
    held,
)

Record = dict[str, Any]

SESSIONS_PER_CELL = 100
OLDER_PERCENT = 40  # of a cell's sessions: measured before the others, by the code of before
INVALID_SHARE, NOT_MEASURED_SHARE, FLAGGED_SHARE = 0.05, 0.005, 0.01
ARM_SESSIONS = 10  # of an A/B
SLOT_MS = 90_000  # from the beginning of a session to that of the next: all of them stand in one row

GPUS = ("h100", "a100", "l40s", "l4", "h200")
MODELS = ("qwen2.5-7b", "mistral-7b", "llama-3.1-8b")
CONTEXTS = (2048, 4096, 8192, 16384)
# (quant, runtime, cache) of what is measured together; kernel, dtype and options are the resolver's choice
WAYS = (
    (("bf16", "eager", "static"), ("bf16", "graph", "static")),
    (("awq", "eager", "static"), ("awq", "graph", "static")),
    (("bf16", "compile", "static"), ("bf16", "eager", "dynamic")),
    (("bnb-nf4", "eager", "static"), ("bnb-nf4", "graph", "static")),
    (("gptq", "eager", "static"), ("gptq", "graph", "static")),
    (("bnb-nf4", "eager", "dynamic"), ("awq", "eager", "dynamic"), ("gptq", "eager", "dynamic")),
)
PACKAGES = {"cublas": None, "bitsandbytes": "0.50.2", "marlin": "7.3.6", "exllamav2": "0.3.2"}
HOSTS_PER_GPU = 2

KERNEL_EFFICIENCY = {"bf16": 0.86, "awq": 0.62, "bnb-nf4": 0.45, "gptq": 0.55}  # floor ÷ time in kernels
HOST_MS_PER_LAYER = 0.65  # eager launches no faster
OVER_KERNELS = {"eager": 1.04, "graph": 1.03, "compile": 0.99}
SKEW = {"eager": 0.06, "graph": 0.002, "compile": 0.004}  # mean excess of a session over the fastest
NOISE = {"eager": 0.01, "graph": 0.0015, "compile": 0.002}  # of a step within its session
OLDER_CODE = {"eager": 1.06, "graph": 1.01, "compile": 1.01}
OTHER_HOST = 1.004
COMPILE_S = 45.0
READ_SHARE = 0.92  # of the datasheet bandwidth

VALID = "valid"
INVALID = ("gate", "collected", "compiled")
NOT_MEASURED = ("infeasible", "oom", "failed")
FLAGGED = ("throttled", "drifting")
MESSAGES = {
    "infeasible": "the cell needs about 25.1 GB (weights, KV cache, verification, workspace); this device has 24.0 GB",
    "oom": "CUDA out of memory: tried to allocate 2.00 GiB",
    "failed": "the worker was killed by SIGSEGV; its last output: Fatal Python error",
}


@dataclass(frozen=True)
class Session:
    """One session: `number` is its place in time among all, `fate` VALID or what became of it."""

    number: int
    id: str
    cell: int
    host: int
    study: str
    index: int
    older: bool
    fate: str = VALID

    @property
    def started_ms(self) -> int:
        return STARTED_MS + self.number * SLOT_MS


@dataclass(frozen=True)
class Template:
    """A cell: a measured record of it, and what its steps take where nothing slows them down."""

    plan: Plan
    record: Record
    step_ms: float
    kernel_ms: float


@dataclass(frozen=True)
class Campaign:
    """`sessions` in the order of time; every session of an A/B is valid, by the newer code and on one host."""

    seed: int
    templates: tuple[Template, ...]
    sessions: tuple[Session, ...]
    manifests: tuple[Manifest, ...]

    def record(self, session: Session) -> Record:
        """The session's record."""
        template = self.templates[session.cell]
        if session.fate in NOT_MEASURED:
            return _not_measured(template, session)
        return _measured(template, session, np.random.default_rng([self.seed, session.number]))

    def records(self) -> Iterator[Record]:
        """Every session's record, in the order of time."""
        return map(self.record, self.sessions)

    def period_ms(self, of: Manifest) -> tuple[int, int]:
        """When the first session of an A/B began and its last one ended."""
        ids = {entry.session for entry in of.sessions}
        own = sorted((one for one in self.sessions if one.id in ids), key=lambda session: session.started_ms)
        return own[0].started_ms, int(self.record(own[-1])["session"]["finished_ms"])


def campaign(runs: int, comparisons: int, seed: int) -> Campaign:
    """`runs` sessions of `runs` ÷ 100 cells, and A/Bs of runtimes made of some of them.

    Raises ValueError for more A/Bs than the sessions can make up.
    """
    plans = tuple(islice(_plans(), max(1, runs // SESSIONS_PER_CELL)))
    pairs = _chosen_pairs(plans, comparisons)
    sessions = [*_swept(plans, runs, pairs, seed)]
    eligible = len(sessions)
    manifests = []
    for number, (a, b, lap) in enumerate(pairs):
        made, taken = _compared(plans[a], (a, b), lap, number % HOSTS_PER_GPU, len(sessions), seed)
        manifests.append(made)
        sessions += taken
    fates = _fates(eligible, runs, seed)
    sessions[:eligible] = [replace(each, fate=fate) for each, fate in zip(sessions, fates, strict=False)]
    return Campaign(seed, tuple(map(_template, plans)), tuple(sessions), tuple(manifests))


def host_id(gpu: str, host: int) -> str:
    """The key of one of the hosts with such a card."""
    return short_hash(f"{gpu} {host}", 12)


def _plans() -> Iterator[Plan]:
    """Cells without end: the arms of an A/B side by side, other weights when all else is used up."""
    for weights in count():
        for ctx, model, ways, gpu in product(CONTEXTS, MODELS, WAYS, GPUS):
            for quant, runtime, cache in ways:
                request = Request(gpu, model, str(ctx), quant, runtime=runtime, cache=cache)
                yield _with_weights(resolve(request, (_card(gpu),)), weights)


def _card(gpu: str) -> InstalledGpu:
    entry = catalogue.gpus()[gpu]
    assert entry.nvml is not None
    assert entry.memory_gb.value is not None
    memory_bytes = int(entry.memory_gb.value * 10**9)
    return InstalledGpu(0, f"GPU-{gpu}", entry.nvml, memory_bytes, str(entry.compute_capability), "580.95.05", False)


def _with_weights(plan: Plan, number: int) -> Plan:
    """The plan with the `number`th checkpoint in place of synthetic weights (0), as the resolver would name it."""
    if number == 0:
        return plan
    made = registry.weight_format(plan.cell.quant).DECLARATION.options  # a checkpoint has made these choices
    options = {name: value for name, value in plan.cell.options.items() if name not in made}
    weights_id = contentid.PREFIX + short_hash([plan.cell.model, plan.cell.quant, number], contentid.ID_LENGTH)
    return replace(plan, cell=replace(plan.cell, weights_id=weights_id, options=options))


@functools.cache
def _environment() -> dict[str, Any]:
    found: dict[str, Any] = example_record()["environment"]
    return found


@functools.cache
def _bounds(dtype: str, runtime: str, quant: str, kernel: str, hidden: int) -> dict[str, float]:
    return bounds.cell_bounds(dtype, runtime, quant, kernel, hidden)


def _template(plan: Plan) -> Template:
    cell, scheme = plan.cell, plan.scheme
    weights = registry.weight_bytes(cell.quant, scheme, plan.model.shape, floors.DTYPE_BYTES[cell.dtype])
    environment = {**_environment(), "kernel_package": PACKAGES[cell.kernel]}
    made = example_record(
        cell=cell.to_json(),
        request=_request(plan),
        protocol=asdict(plan.protocol),
        keys={"env_key": env_key(environment)},
        model={"name": cell.model, "shape": plan.model.shape.to_json()}
        | ({"scheme": scheme.to_json()} if scheme else {}),
        gpu=_gpu(plan),
        bytes={"weights": weights, "weights_measured": weights},
        environment=environment,
        actual=_actual(cell),
        gate=_bounds(cell.dtype, cell.runtime, cell.quant, cell.kernel, plan.model.shape.hidden),
    )
    _fit_gate(made)
    _fit_costs(made)
    floor_ms = made["floor"]["floor_ms"]
    kernel_ms = floor_ms / KERNEL_EFFICIENCY[cell.quant]
    host_ms = HOST_MS_PER_LAYER * plan.model.shape.layers if cell.runtime == "eager" else 0.0
    return Template(plan, made, max(host_ms, kernel_ms * OVER_KERNELS[cell.runtime]), kernel_ms)


def _request(plan: Plan) -> dict[str, str]:
    cell = plan.cell
    return {
        "gpu": cell.gpu,
        "model": cell.model,
        "ctx": str(cell.ctx),
        "quant": cell.quant,
        "weights": "local" if cell.weights_id.startswith(contentid.PREFIX) else "synthetic",
    }


def _gpu(plan: Plan) -> dict[str, Any]:
    entry, device = catalogue.gpus()[plan.cell.gpu], plan.device
    assert entry.l2_mib.value is not None
    return {
        "key": device.gpu,
        "name": device.name,
        "bandwidth_gbs": device.bandwidth_gbs,
        "catalogued": device.catalogued,
        "driver": device.driver,
        "last_level_cache_bytes": int(entry.l2_mib.value * 2**20),
        "memory_bytes": plan.memory_bytes,
        "compute_capability": entry.compute_capability,
    }


def _actual(cell: Cell) -> dict[str, Any]:
    mode = registry.runtime(cell.runtime).DECLARATION.graph_mode_with(cell.options)
    found: dict[str, Any] = {"graph_mode": mode, "graph_launches_per_step": 0.0 if mode == "none" else 1.0}
    if cell.kernel in PACKED_KERNELS:
        found["kernel_names"] = [PACKED_KERNELS[cell.kernel]]
    return found


def _fit_gate(made: Record) -> None:
    """The errors of a float16 cell are smaller; a step made of eager's is held against that one."""
    cell, gate = made["cell"], made["gate"]
    if cell["dtype"] == "fp16":
        gate["timed_trusted"] = [error / 10 for error in gate["timed_trusted"]]
        for check in gate["checks"]:
            check |= {series: [error / 10 for error in check[series]] for series in ("errors", "trusted")}
    if registry.runtime(cell["runtime"]).DECLARATION.made_of_eager:
        starts = {"short": floors.GATE_SHORT_CTX, "ctx": cell["ctx"]}
        gate["eager"] = [_likeness(name, start, _driven(made)) for name, start in starts.items()]


def _driven(made: Record) -> int:
    counts = made["protocol"]
    return floors.teacher_forced_steps(made["cell"]["ctx"], counts["warmup"], counts["steps"])


def _likeness(name: str, start: int, steps: int) -> dict[str, Any]:
    return {
        "name": name,
        "positions": list(range(start, start + steps)),
        "equal": [True] * steps,
        "differences": [0.0] * steps,
        "repeats": [0.0] * steps,
        "same_token": [True] * steps,
        "margins": [0.2] * steps,
    }


def _fit_costs(made: Record) -> None:
    """What follows from the bytes, and what a compiler takes."""
    counted, costs = made["bytes"], made["cost_s"]
    made["memory"]["peak_bytes"] = counted["weights"] + int(counted["kv"]) + 900_000_000
    made["memory"]["held_bytes"] = held(counted["weights"], allocated_kv(made))
    if registry.runtime(made["cell"]["runtime"]).DECLARATION.compiles:
        costs["compile"] = COMPILE_S
        costs["total"] += COMPILE_S


def _chosen_pairs(plans: Sequence[Plan], comparisons: int) -> list[tuple[int, int, int]]:
    """(cell of arm a, of arm b, how often these were compared before) of every A/B, spread over the cells."""
    numbers = {plan.cell.key: number for number, plan in enumerate(plans)}
    eager = [number for number, plan in enumerate(plans) if plan.cell.runtime == "eager"]
    graphs = {number: replace(plans[number].cell, runtime="graph").key for number in eager}
    pairs = [(number, numbers[key]) for number, key in graphs.items() if key in numbers]
    if comparisons and not pairs:
        raise ValueError("no A/B without a cell of eager and one of graph: make at least 200 runs")
    chosen, laps = [], Counter[int]()
    for number in range(comparisons):
        a, b = pairs[number * len(pairs) // comparisons]
        chosen.append((a, b, laps[a]))
        laps[a] += 1
    return chosen


def _swept(plans: Sequence[Plan], runs: int, pairs: Sequence[tuple[int, int, int]], seed: int) -> Iterator[Session]:
    """All sessions outside of A/Bs, round by round: those by older code first. The numbers are right as they come."""
    in_pairs = Counter(cell for a, b, _ in pairs for cell in (a, b))
    sizes = [runs // len(plans) + (number < runs % len(plans)) for number in range(len(plans))]
    older = [size * OLDER_PERCENT // 100 for size in sizes]
    newer = [size - older[cell] - ARM_SESSIONS * in_pairs[cell] for cell, size in enumerate(sizes)]
    if min(newer) < 0:
        raise ValueError(f"too many A/Bs: each takes {ARM_SESSIONS} sessions by the newer code from either cell")
    numbers = count()
    for study, sizes_, is_older in (("sweep-1", older, True), ("sweep-2", newer, False)):
        for index in range(max(sizes_)):
            for cell in (cell for cell, size in enumerate(sizes_) if index < size):
                number = next(numbers)
                host = index % HOSTS_PER_GPU
                yield Session(number, _session_id(seed, number), cell, host, study, index, is_older)


def _session_id(seed: int, number: int) -> str:
    return short_hash([seed, number], SESSION_ID_LENGTH)


def _fates(eligible: int, runs: int, seed: int) -> list[str]:
    """Of each session outside of A/Bs, in no order: shares of all runs, the kinds taking turns."""
    kinds = ((INVALID, INVALID_SHARE), (NOT_MEASURED, NOT_MEASURED_SHARE), (FLAGGED, FLAGGED_SHARE))
    fates = [words[number % len(words)] for words, share in kinds for number in range(math.ceil(share * runs))]
    fates += [VALID] * (eligible - len(fates))
    return [fates[place] for place in np.random.default_rng([seed]).permutation(eligible)]


def _compared(
    plan: Plan, cells: tuple[int, int], lap: int, host: int, number: int, seed: int
) -> tuple[Manifest, list[Session]]:
    """An A/B whose first session is the `number`th, as `runner.ab.measure` makes it when nothing goes wrong."""
    study = f"cuda-graphs-{lap}"
    made = manifest.declare(_pair(plan, study), ARM_SESSIONS, extension=0)
    on = host_id(plan.cell.gpu, host)
    sessions: list[Session] = []
    while (grown := blocks.with_open_block(made, on, ARM_SESSIONS)).done < ARM_SESSIONS:
        arm, index, place = grown.blocks[-1].next_arm, len(sessions), number + len(sessions)
        cell = cells["ab".index(arm)]
        sessions.append(Session(place, _session_id(seed, place), cell, host, study, index, older=False))
        found = {"cell": to_json(grown.arms[arm].cell), "session": {"index": index, "id": sessions[-1].id}}
        entry = SessionEntry(index, arm, sessions[-1].id, file_name(found), valid=True, cooled_s=0.0)
        made = blocks.with_session(grown, entry)
    return made, sessions


def _pair(plan: Plan, study: str) -> Pair:
    cell = plan.cell
    request = Request(cell.gpu, cell.model, str(cell.ctx), cell.quant, cache=cell.cache, study=study)
    pair = arms.pair(request, "runtime", "eager", "graph", (_card(cell.gpu),))
    own = {"weights_id": cell.weights_id, "options": cell.options}
    a, b = (replace(arm, plan=replace(arm.plan, cell=replace(arm.plan.cell, **own))) for arm in pair.arms)
    return replace(pair, a=a, b=b)


def _session(session: Session) -> dict[str, Any]:
    named = {"id": session.id, "study": session.study, "index": session.index}
    return {**named, "seed": 0, "started_ms": session.started_ms}


def _not_measured(template: Template, session: Session) -> Record:
    found, fate = template.record, session.fate
    crash = {} if fate == "failed" else {"signal": None, "last_output": []}
    head = {name: found[name] for name in ("request", "cell", "protocol", "model")}
    gpu = {name: found["gpu"][name] for name in ("key", "name", "bandwidth_gbs", "catalogued", "driver")}
    made = failed_record(fate, **head, session=_session(session), reasons=[MESSAGES[fate]])
    made["outcome"] |= {"message": MESSAGES[fate], **crash}
    return made | {"gpu": gpu}


def _measured(template: Template, session: Session, rng: np.random.Generator) -> Record:
    found: Record = pickle.loads(pickle.dumps(template.record))  # a copy, several times faster than deepcopy
    found["session"] = _session(session)
    found["keys"] |= {"host_id": host_id(found["cell"]["gpu"], session.host)}
    if session.older:
        found["keys"] |= {"code_key": short_hash("code of before", 12), "tree_key": short_hash("tree of before", 12)}
    _draw_passes(found, template, session, rng)
    _draw_witnesses(found, session, rng)
    if spoil := SPOILERS.get(session.fate):
        spoil(found)
    _take_time(found)
    derive(found)
    judge(found)
    return found


def _draw_passes(found: Record, template: Template, session: Session, rng: np.random.Generator) -> None:
    """The steps of every pass, around a middle that differs from session to session as measured ones do."""
    runtime, passes, steps = found["cell"]["runtime"], found["passes"], found["protocol"]["steps"]
    middle = template.step_ms * (1 + rng.exponential(SKEW[runtime])) * OTHER_HOST**session.host
    middle *= OLDER_CODE[runtime] if session.older else 1.0
    wall = _steps(rng, middle, NOISE[runtime], steps)
    passes["wall"]["steps_ms"] = wall
    passes["span"]["steps_ms"] = _steps(rng, middle * 0.999, NOISE[runtime], steps)
    passes["rate"]["total_ms"] = round(sum(wall) * 0.998, 6)
    passes["busy"]["steps_ms"] = _steps(rng, template.kernel_ms, NOISE["graph"], steps)
    passes["busy"]["span_ms"] = _steps(rng, middle + 1.0, NOISE[runtime], steps)
    if "revisit" in passes:
        passes["revisit"]["steps_ms"] = _steps(rng, middle, NOISE[runtime], steps)
    added_ms, busy_ms = sum(row["us"] for row in found["kernels"]) / 1e3, passes["busy"]["steps_ms"]
    for row in found["kernels"]:
        row["us"] = round(row["us"] * 1.0005 * (sum(busy_ms) / steps) / added_ms, 2)


def _take_time(found: Record) -> None:
    """Phases, snapshots and the end, after the passes that were timed."""
    timed = (
        window.get("span_ms") or window.get("steps_ms") or [window["total_ms"]] for window in found["passes"].values()
    )
    found["cost_s"]["steps"] = round(sum(map(sum, timed)) / 1e3 + 1.5, 3)
    took_ms = round((SESSION_S + found["cost_s"]["steps"]) * 1e3)
    found["cost_s"]["total"] = took_ms / 1e3
    began_ms = found["session"]["started_ms"]
    found["session"]["finished_ms"] = began_ms + took_ms
    for moment, after_ms in (("before", 1_000), ("after", took_ms - 500)):
        found["snapshots"][moment]["taken_ms"] = began_ms + after_ms


def _steps(rng: np.random.Generator, middle: float, noise: float, steps: int) -> list[float]:
    values: list[float] = (middle * (1 + noise * rng.standard_normal(steps))).round(6).tolist()
    return values


def _draw_witnesses(found: Record, session: Session, rng: np.random.Generator) -> None:
    """Probes, prefill, temperature and power."""
    read, launch, warm, power = rng.normal(1.0, 0.002, 4).tolist()
    before = 32 + 3 * session.host + int(rng.integers(6))
    reads = [found["gpu"]["bandwidth_gbs"] * READ_SHARE * read * share for share in (0.997, 0.998, 0.998, 0.999, 1.0)]
    found["probes"] |= {
        "read_samples_gbs": [round(value, 1) for value in reads],
        "launch_samples_us": [round(4.3 * launch * share, 2) for share in (0.99, 0.995, 1.0, 1.005, 1.01)],
    }
    found["prefill"]["ms"] = round(61.25 * warm * found["cell"]["ctx"] / 2048, 3)
    for moment, heat, watts in (("before", 0, 90.0), ("after", 7, 140.0)):
        found["snapshots"][moment] |= {"temperature_c": before + heat, "power_w": round(watts * power, 1)}


def _fail_gate(found: Record) -> None:
    check = found["gate"]["checks"][-1]
    check["errors"] = [0.31] * len(check["errors"])


def _collect(found: Record) -> None:
    found["passes"]["wall"]["collected"] = 1


def _compile(found: Record) -> None:
    found["passes"]["span"]["compiled"] = 1


def _throttle(found: Record) -> None:
    found["snapshots"]["after"] |= {"throttle_reasons": ["sw_power_cap"], "sm_clock_mhz": 1410}


def _drift(found: Record) -> None:
    """A last third that is 8 % slower."""
    wall = found["passes"]["wall"]
    early = len(wall["steps_ms"]) * 2 // 3
    wall["steps_ms"][early:] = [round(step * 1.08, 6) for step in wall["steps_ms"][early:]]


SPOILERS: dict[str, Callable[[Record], None]] = {
    "gate": _fail_gate,
    "collected": _collect,
    "compiled": _compile,
    "throttled": _throttle,
    "drifting": _drift,
}
