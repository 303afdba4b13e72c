"""The gate's section: its bounds are those committed, and it has every check that the cell and protocol dictate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from runner import registry
from runner.cell import floors
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record import bounds, gaterules
from runner.record.structure import shown
from runner.record.verify import older
from runner.record.verify.line import unequal
from runner.record.verify.passes import pass_names

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

Record = Mapping[str, Any]


def differences(found: Record) -> Iterator[str]:
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
    for name, value in (committed | _stated_by_older_code(found)).items():
        if gate.get(name) != value:
            yield f"gate.{name}: {gate.get(name)} stored, {value} is committed for this cell"
    if is_older and ("disturbed_share" in found["limits"] or "held_bytes" in found["memory"]):
        yield "gate.gate_version: missing, though the code of this session had one"
    yield from _version_differences(found)
    for name in OF_ANOTHER_VERSION[gaterules.version(gate)]:
        if name in gate:
            yield f"gate.{name}: gate version {gaterules.version(gate)} has none"


def _stated_by_older_code(found: Record) -> dict[str, float]:
    """Returns the bounds that the code of this very session stated, if they were others than today's."""
    cell, code = found["cell"], found["keys"]["code_key"]
    if gaterules.version(found["gate"]) < gaterules.VERSION:
        of_dtype = bounds.of_version_1(cell["dtype"], "", "", "")["noise"]
        return {"noise": of_dtype} if code in older.without_noise() else {}
    under = bounds.derived_under(cell["quant"], cell["kernel"], cell["dtype"])
    is_under = under and under["code_key"] == code
    return {"stated_ratio": under["ratio"], "stated_spread": under["spread"]} if is_under else {}


def _version_differences(found: Record) -> Iterator[str]:
    """A session is judged by the rules of its own code, and by no older ones."""
    code, is_first = found["keys"]["code_key"], gaterules.version(found["gate"]) == 1
    if is_first != (code in older.of_gate_1()):
        had = "no" if is_first else "only"
        yield f"gate.gate_version: {gaterules.version(found['gate'])}, but the code {code} had {had} version 1"


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
    yield from unequal("gate.eager", [each["name"] for each in likenesses], "what is driven", list(expected))
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
