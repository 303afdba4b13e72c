"""`runner verify`: does a record hold together? Its structure is the schema's, it has all that its cell and protocol
dictate, and every number in it follows again from its raw steps and bytes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from runner import catalogue, floors, gaterules, heldbytes, judgement, metrics, protocol, registry
from runner.cell import Cell
from runner.errors import BadRecord
from runner.records import record
from runner.records.structure import faults, shown
from runner.resolve import CPU, CUDA, SYNTHETIC_ID
from runner.scheme import Scheme
from runner.shape import ModelShape
from runner.worker import bounds

RELATIVE_TOLERANCE = 1e-9
PASSES = {CPU: ("wall",), CUDA: ("wall", "span", "rate", "busy")}
REQUESTED = ("gpu", "model", "ctx", "quant", "weights")
PHASES = ("probe", "build", "reference", "verify", "prefill", "steps", "total")
ATTENTION_BACKENDS = (*judgement.DETERMINISTIC_ATTENTION, "cudnn", "unknown")
OTHERS, SUMMED_ROWS = "(others)", 24  # the last row of a long profile, and how many a short one has at most
COUNT_ROUNDING = 0.005
OF_ANOTHER_VERSION = {  # what a gate's section of each version has not
    1: (
        "stated_ratio",
        "stated_spread",
        "checkpoint_spread",
        "dtype_ratio",
        "dtype_spread",
        "regret_limit",
        "timed_trusted",
        "tokens",
        "rows",
    ),
    2: ("noise",),
}
CUT_NAME_LENGTH = 100  # no worker cut a kernel's name to less

Record = Mapping[str, Any]


def read_verified(path: Path) -> dict[str, Any]:
    """The record of a file in which `verify` finds nothing wrong. Raises BadRecord with the first thing it finds."""
    found = record.read(path)
    lines = differences(found)
    if lines:
        more = f" (and {len(lines) - 1} more: `runner verify` lists them)" if len(lines) > 1 else ""
        raise BadRecord(f"{path}: {lines[0]}{more}")
    return found


def differences(found: dict[str, Any]) -> list[str]:
    """One line for each thing that is damaged, missing, or does not follow from the raw values; empty for none."""
    if damage := faults(found):
        return [f"damaged record: {fault}" for fault in damage]
    if unknown := list(_unknown_words(found["cell"])):
        return unknown
    lines = list(_head_differences(found))
    if record.is_measured(found):
        lines += _content_differences(found)
        try:
            lines += _derived_differences(found)
        except ArithmeticError as error:
            lines.append(f"its numbers cannot be derived ({type(error).__name__}: {error})")
    return lines


def _unknown_words(cell: Record) -> Iterator[str]:
    built = {
        "quant": registry.format_names(),
        "kernel": registry.kernel_names(),
        "runtime": registry.runtime_names(),
    }
    for field, names in built.items():
        if cell[field] not in names:
            yield f"cell.{field}: {shown(cell[field])} is unknown to this version (it has {', '.join(names)})"


def _head_differences(found: Record) -> Iterator[str]:
    cell, counts = found["cell"], found["protocol"]
    if Cell.from_json(cell).key != found["keys"]["cell_key"]:
        yield "keys.cell_key: not this cell's"
    for field, place in (("gpu", "gpu.key"), ("model", "model.name")):
        yield from _unequal(place, metrics.lookup(found, place), f"cell.{field}", cell[field])
    named = protocol.NAMED.get(counts["name"])
    if named is not None and named != protocol.Protocol(**counts):
        yield f"protocol: {counts['name']} has {named.warmup} warm-up and {named.steps} timed steps"
    yield from _pair_differences(cell)
    yield from _scheme_differences(found)
    if missing := [name for name in REQUESTED if name not in found["request"]]:
        yield f"request: without {', '.join(missing)}"
    known = catalogue.models().get(cell["model"])
    if known is not None and ModelShape.from_json(found["model"]["shape"]) not in _loaded_shapes(known.shape, cell):
        yield f"model.shape: not that of {cell['model']}"


def _loaded_shapes(shape: ModelShape, cell: Record) -> tuple[ModelShape, ...]:
    """Returns the shapes that a session may have loaded: a checkpoint whose stored head differs from the embedding
    unties a tied model."""
    untied = replace(shape, tied_embedding=False)
    return (shape,) if cell["weights_id"] == SYNTHETIC_ID else (shape, untied)


def _unequal(place: str, stored: Any, other_place: str, other: Any) -> Iterator[str]:
    if stored != other:
        yield f"{place}: {shown(stored)}, but {other_place} is {shown(other)}"


def _pair_differences(cell: Record) -> Iterator[str]:
    """Pairs that no request can ask for."""
    kernel = registry.kernel(cell["kernel"]).DECLARATION
    runtime = registry.runtime(cell["runtime"]).DECLARATION
    allowed = (
        ("quant", cell["quant"], kernel.name, kernel.quants),
        ("dtype", cell["dtype"], kernel.name, kernel.dtypes),
        ("gpu", _device(cell), kernel.name, kernel.devices),
        ("gpu", _device(cell), runtime.name, runtime.devices),
        ("quant", cell["quant"], runtime.name, runtime.quants or (cell["quant"],)),
        ("kernel", cell["kernel"], runtime.name, runtime.kernels or (cell["kernel"],)),
        ("cache", cell["cache"], runtime.name, runtime.caches),
        ("attention", cell["attention"], runtime.name, runtime.attentions),
    )
    for field, value, owner, values in allowed:
        if value not in values:
            yield f"cell.{field}: {shown(value)} does not go with {owner} (it has {', '.join(values)})"


def _device(cell: Record) -> str:
    return CPU if cell["gpu"] == CPU else CUDA


def _content_differences(found: Record) -> Iterator[str]:
    """What a measured session of this cell and protocol must hold, and what it states about itself."""
    yield from _pass_differences(found)
    yield from _gate_differences(found)
    yield from _actual_differences(found)
    yield from _witness_differences(found)
    for name, stated in found["limits"].items():
        if stated > judgement.LIMITS[name]:
            yield f"limits.{name}: {stated} stated, looser than {judgement.LIMITS[name]}"
    share = found["limits"].get("disturbed_share")
    if share is not None and share < judgement.DISTURBED_SHARE:  # a lower one takes sessions out of medians
        yield f"limits.disturbed_share: {share} stated, {judgement.DISTURBED_SHARE} is committed"
    if gaterules.version(found["gate"]) == gaterules.VERSION:
        for name in judgement.LIMITS.keys() - found["limits"].keys():
            yield f"limits.{name}: missing"
    if found["keys"]["env_key"] != record.env_key(found["environment"]):
        yield "keys.env_key: not this environment's"


def pass_names(cell: Record) -> tuple[str, ...]:
    """The timed passes of a cell's session: only a growing cache has lengths to visit again."""
    return (*PASSES[_device(cell)], *(("revisit",) if cell["cache"] == "dynamic" else ()))


def _pass_differences(found: Record) -> Iterator[str]:
    expected, steps = pass_names(found["cell"]), found["protocol"]["steps"]
    for name in expected:
        if name not in found["passes"]:
            yield f"passes.{name}: missing"
    for name, window in found["passes"].items():
        if name not in expected:
            yield f"passes.{name}: a session of this cell has no such pass"
        for series, values in window.items():
            if isinstance(values, list | tuple) and len(values) != steps:
                yield f"passes.{name}.{series}: {len(values)} steps, the protocol says {steps}"
    if bool(found["kernels"]) != ("busy" in expected):
        yield f"kernels: {len(found['kernels'])} rows; a profiled pass leaves some, a CPU none"


def _gate_differences(found: Record) -> Iterator[str]:
    yield from _bound_differences(found)
    missing = _checked_positions(found)
    for check in found["gate"]["checks"]:
        name = check["name"]
        if name not in missing:
            yield f"gate.checks: {shown(name)} is there twice, or is no check of this cell"
        else:
            yield from _check_differences(check, missing.pop(name))
    for name in missing:
        yield f"gate.checks: {name} is missing"
    yield from _trusted_differences(found)
    yield from _timed_differences(found)
    yield from _token_differences(found)
    yield from _not_finite_differences(found["gate"])
    yield from _likeness_differences(found)


def _bound_differences(found: Record) -> Iterator[str]:
    """Yields where the bounds that a session states are not those committed for its cell and version of the gate."""
    gate, cell = found["gate"], found["cell"]
    path = (cell["dtype"], cell["runtime"], cell["quant"], cell["kernel"])
    is_older = gaterules.version(gate) < gaterules.VERSION
    committed = (
        bounds.of_version_1(*path)
        if is_older
        else bounds.of(*path, found["model"]["shape"]["hidden"], cell["weights_id"] == SYNTHETIC_ID)
    )
    # what older code held sessions to whose kernel has a noise of its own
    older = {"noise": bounds.of_version_1(cell["dtype"], "", "", "")["noise"]}
    under = bounds.derived_under(cell["quant"], cell["kernel"], cell["dtype"])
    if under and under["code_key"] == found["keys"]["code_key"]:
        older |= {"stated_ratio": under["ratio"], "stated_spread": under["spread"]}
    for name, value in committed.items():
        if gate.get(name) not in (value, older.get(name, value)):
            yield f"gate.{name}: {gate.get(name)} stored, {value} is committed for this cell"
    if is_older and ("disturbed_share" in found["limits"] or "held_bytes" in found["memory"]):
        yield "gate.gate_version: missing, though the code of this session had one"
    for name in OF_ANOTHER_VERSION[gaterules.version(gate)]:
        if name in gate:
            yield f"gate.{name}: gate version {gaterules.version(gate)} has none"


def _timed_differences(found: Record) -> Iterator[str]:
    """Since version 2 every timed step is checked: by its token where the pass read one back, and by its cache row."""
    gate, steps = found["gate"], found["protocol"]["steps"]
    if gaterules.version(gate) < gaterules.VERSION:
        return
    names = pass_names(found["cell"])
    for series, expected in (("tokens", [name for name in names if name != "rate"]), ("rows", names)):
        stored = [each["name"] for each in gate.get(series, [])]
        if sorted(stored) != sorted(expected):
            yield f"gate.{series}: of {', '.join(stored) or 'no pass'}, expected of {', '.join(expected)}"
    for each in gate.get("tokens", []):
        for series in ("chosen", "regrets", "repeats"):
            if len(each[series]) != steps:
                yield f"gate.tokens {each['name']}: {len(each[series])} {series}, the protocol says {steps}"
    trusted = gate.get("timed_trusted", [])
    if len(trusted) != steps:
        yield f"gate.timed_trusted: {len(trusted)} errors, the protocol says {steps} steps"


def _token_differences(found: Record) -> Iterator[str]:
    """A token has one regret at a position, whichever pass chose it and whether it came first or was repeated there."""
    vocab, regrets = found["model"]["shape"]["vocab"], dict[tuple[int, int], float]()
    for each in found["gate"].get("tokens", []):
        chosen, repeats = each["chosen"], zip(each["chosen"], each["repeats"][1:], strict=False)
        ours = [(step, *pair) for step, pair in enumerate(zip(chosen, each["regrets"], strict=False))]
        for step, token, regret in (*ours, *((step, *pair) for step, pair in enumerate(repeats, 1))):
            if regrets.setdefault((step, token), regret) != regret:
                yield f"gate.tokens {each['name']}: token {token} at step {step} has the regret {regret}, and another"
            if not 0 <= token < vocab and regret != gaterules.NOT_FINITE:
                yield f"gate.tokens {each['name']}: {token} is no token of {vocab}"
    best = Counter(step for (step, _), regret in regrets.items() if regret == 0)
    yield from (f"gate.tokens: {count} tokens are the best at step {step}" for step, count in best.items() if count > 1)


def _not_finite_differences(gate: Record) -> Iterator[str]:
    """A session that names a weight which is not finite has logits that are not."""
    if (fault := gate.get("not_finite")) is None:
        return
    if not any(gaterules.NOT_FINITE in check[series] for check in gate["checks"] for series in ("errors", "trusted")):
        yield "gate.not_finite: there, though every logit error is a finite number"
    if len({value is None for value in fault.values()}) > 1:
        yield f"gate.not_finite: {shown(dict(fault))} names a weight only in part"


def _trusted_differences(found: Record) -> Iterator[str]:
    """Trusted eager is one forward pass: checks that meet at a position have one error of it there."""
    counts, gate = found["protocol"], found["gate"]
    timed = floors.timed_positions(found["cell"]["ctx"], counts["warmup"], counts["steps"])
    errors = dict(zip(timed, gate.get("timed_trusted", ()), strict=False))
    for check in gate["checks"]:
        for position, error in zip(check["positions"], check["trusted"], strict=False):
            if errors.setdefault(position, error) != error:
                yield f"gate.checks {check['name']}: trusted {error} at {position}, {errors[position]} in another check"


def _likeness_differences(found: Record) -> Iterator[str]:
    """A step made of the eager one is held against it wherever it is driven; eager itself is not."""
    runtime = registry.runtime(found["cell"]["runtime"]).DECLARATION
    expected = _driven_positions(found) if runtime.made_of_eager else {}
    likenesses = found["gate"].get("eager", [])
    yield from _unequal("gate.eager", [each["name"] for each in likenesses], "what is driven", list(expected))
    for each in likenesses:
        positions = expected.get(each["name"], [])
        for series, values in each.items():
            if series != "name" and len(values) != len(positions):
                yield f"gate.eager {each['name']}.{series}: {len(values)} for {len(positions)} positions"
        if list(each["positions"]) != positions:
            yield f"gate.eager {each['name']}: positions {shown(list(each['positions']))}, not {shown(positions)}"
        for equal, difference, same in zip(each["equal"], each["differences"], each["same_token"], strict=False):
            if equal and (difference or not same):
                yield f"gate.eager {each['name']}: equal, and yet different by {difference}"


def _driven_positions(found: Record) -> dict[str, list[int]]:
    ctx, counts = found["cell"]["ctx"], found["protocol"]
    is_older = gaterules.version(found["gate"]) < gaterules.VERSION
    count = floors.GATE_STEPS if is_older else floors.driven_steps(ctx, counts["warmup"], counts["steps"])
    starts = {"short": floors.GATE_SHORT_CTX, "ctx": ctx}
    return {name: list(range(start, start + count)) for name, start in starts.items()}


def _checked_positions(found: Record) -> dict[str, list[int]]:
    """Name → positions of every comparison that the cell and protocol dictate."""
    counts = found["protocol"]
    last = floors.last_position(found["cell"]["ctx"], counts["warmup"], counts["steps"])
    return _driven_positions(found) | {name: [last] for name in pass_names(found["cell"])}


def _check_differences(check: Record, positions: list[int]) -> Iterator[str]:
    place = f"gate.checks {check['name']}"
    if list(check["positions"]) != positions:
        yield f"{place}: positions {shown(list(check['positions']))}, not {shown(positions)}"
    for series in ("errors", "trusted"):
        if len(check[series]) != len(positions):
            yield f"{place}: {len(check[series])} {series} for {len(positions)} positions"


def _held_differences(found: Record) -> Iterator[str]:
    """Weights that were measured are held, and what is held is no more than the peak."""
    held = found["memory"].get("held_bytes")
    if held is None:
        return
    if held["weights"]["allocator"] < found["bytes"]["weights_measured"]:
        yield f"memory.held_bytes.weights: {held['weights']['allocator']}, less than the weights that were measured"
    if held["step"]["allocator"] > found["memory"]["peak_bytes"]:
        yield f"memory.held_bytes.step: {held['step']['allocator']}, more than the peak"
    scratch = found["actual"].get("settings", {}).get(heldbytes.SCRATCH)
    if scratch is not None and not scratch.isdecimal():
        yield f"actual.settings.{heldbytes.SCRATCH}: {shown(scratch)} is no number of bytes"


def _witness_differences(found: Record) -> Iterator[str]:
    """What nothing else is derived from, and yet cannot be anything."""
    counts_held = _device(found["cell"]) == CUDA and gaterules.version(found["gate"]) >= gaterules.VERSION
    if ("held_bytes" in found["memory"]) != counts_held:
        yield f"memory.held_bytes: {'missing' if counts_held else 'there, though this session counted none'}"
    yield from _held_differences(found)
    if missing := [phase for phase in PHASES if phase not in found["cost_s"]]:
        yield f"cost_s: without {', '.join(missing)}"
    if found["session"].get("finished_ms", 0) < found["session"]["started_ms"]:
        yield "session.finished_ms: before it began"
    at_least = floors.PROBE_CACHES * (metrics.lookup(found, "gpu.last_level_cache_bytes") or 0)
    if found["probes"].get("read_bytes", at_least) < at_least:
        yield f"probes.read_bytes: {found['probes']['read_bytes']}, at least {at_least} are read past the cache"
    kernels, rows = metrics.lookup(found, "latency.kernels_per_step"), found["kernels"]
    complete = bool(rows) and (rows[-1]["name"] == OTHERS or len(rows) <= SUMMED_ROWS)
    counted = sum(row["count"] for row in rows)
    steps = metrics.lookup(found, "passes.busy.kernels")
    if complete and steps and abs(counted - mean(steps)) > COUNT_ROUNDING * (len(rows) + 1):
        yield f"kernels: {counted:g} a step in all rows, {kernels:g} in passes.busy"


def _actual_differences(found: Record) -> Iterator[str]:
    cell, actual = found["cell"], found["actual"]
    for field in ("runtime", "kernel", "cache"):
        yield from _unequal(f"actual.{field}", actual[field], f"cell.{field}", cell[field])
    if actual["attention_backend"] not in ATTENTION_BACKENDS:
        backend = shown(actual["attention_backend"])
        yield f"actual.attention_backend: {backend} is none of {', '.join(ATTENTION_BACKENDS)}"
    mode = registry.runtime(cell["runtime"]).DECLARATION.graph_mode_with(cell["options"])
    yield from _unequal("actual.graph_mode", actual["graph_mode"], f"that of {cell['runtime']}", mode)
    signatures = registry.kernel(cell["kernel"]).DECLARATION.signatures
    if not any(_bears(name, signatures) for name in actual["kernel_names"]):
        yield f"actual.kernel_names: {shown(list(actual['kernel_names']))}, none of them is {cell['kernel']}'s"


def _bears(name: str, signatures: tuple[str, ...]) -> bool:
    """Does a kernel's name bear a signature, or may what was cut off it have borne one?"""
    return len(name) >= CUT_NAME_LENGTH or any(part in name for part in signatures)


def _derived_differences(found: dict[str, Any]) -> Iterator[str]:
    again = copy.deepcopy(found)
    accounted = _weight_bytes(found)
    if found["bytes"]["weights"] != accounted:
        yield f"bytes.weights: {found['bytes']['weights']} stored, {accounted} from the shape"
    metrics.derive(again)
    for metric, _ in metrics.derived():
        stored, derived = metrics.lookup(found, metric.path), metrics.lookup(again, metric.path)
        if not _same(stored, derived):
            yield f"{metric.path}: {stored} stored, {derived} derived"
    judgement.judge(again)
    for name in ("valid", "reasons", "flags"):
        if found[name] != again[name]:
            yield f"{name}: {shown(found[name])} stored, {shown(again[name])} derived"


def _weight_bytes(found: Record) -> int:
    cell, shape = found["cell"], ModelShape.from_json(found["model"]["shape"])
    packed = registry.weight_format(cell["quant"]).DECLARATION.packed
    scheme = _scheme(found) if packed else None
    return registry.weight_bytes(cell["quant"], scheme, shape, floors.DTYPE_BYTES[cell["dtype"]])


def _scheme(found: Record) -> Scheme | None:
    stated = found["model"].get("scheme")
    return Scheme.from_json(stated) if stated else None


def _scheme_differences(found: Record) -> Iterator[str]:
    """Packed weights have a scheme that their format may have, whose groups divide the inputs, and that their kernel
    takes; that of synthetic ones follows from the options."""
    cell, scheme = found["cell"], _scheme(found)
    declared = registry.weight_format(cell["quant"]).DECLARATION
    if declared.packed != (scheme is not None):
        yield f"model.scheme: {'missing' if declared.packed else 'there'}, though the weights are {cell['quant']}"
    elif scheme is not None:
        if strange := declared.refuses(scheme):
            yield f"model.scheme: {strange}"
        if inputs := scheme.undivided(ModelShape.from_json(found["model"]["shape"])):
            yield f"model.scheme.group_size: {scheme.group_size} does not divide {inputs} inputs"
        if reason := registry.kernel(cell["kernel"]).DECLARATION.refuses(scheme, cell["quant"]):
            yield f"model.scheme: {cell['kernel']} cannot have multiplied it: {reason}"
        if cell["weights_id"] == SYNTHETIC_ID:
            yield from _synthetic_differences(cell, scheme)


def _synthetic_differences(cell: Record, scheme: Scheme) -> Iterator[str]:
    chosen = registry.packed_format(cell["quant"])
    missing = [name for name in chosen.DECLARATION.options if name not in cell["options"]]
    if missing:
        yield f"cell.options: without {', '.join(missing)}"
    elif scheme != chosen.scheme(cell["options"]):
        yield f"model.scheme: {shown(scheme.to_json())} is not what the options say"


def _same(stored: Any, derived: Any) -> bool:
    if stored is None or derived is None:
        return stored is derived
    return bool(abs(stored - derived) <= RELATIVE_TOLERANCE * max(abs(stored), abs(derived)))
