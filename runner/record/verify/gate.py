"""The gate's section: its bounds are those committed, and it has every check that the cell and protocol dictate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from runner import registry
from runner.cell import floors
from runner.cell.cell import Cell
from runner.cell.jsonform import stated, to_json
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record import bounds, gaterules
from runner.record.line import shown, unequal
from runner.record.sections.gate import Check, Gate, GateVersion1, GateVersion2, Likeness, Tokens
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import older
from runner.record.verify.passes import pass_names


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each bound, check, token and row that is not the one which cell and protocol dictate."""
    yield from _bound_differences(record)
    yield from _version_differences(record)
    missing = _checked_positions(record)
    for check in record.gate.checks:
        if check.name not in missing:
            yield f"gate.checks: {shown(check.name)} is there twice, or is no check of this cell"
        else:
            yield from _check_differences(check, missing.pop(check.name))
    for name in missing:
        yield f"gate.checks: {name} is missing"
    yield from _trusted_differences(record)
    if isinstance(record.gate, GateVersion2):
        yield from _timed_differences(record.gate, record.cell, record.protocol)
        yield from _token_differences(record.gate, record.model.shape.vocab)
    yield from _not_finite_differences(record.gate)
    yield from _likeness_differences(record)


def _bound_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields where the bounds that a session states are not those committed for its cell and version of the gate."""
    gate, cell = dict(stated(record.gate)), record.cell
    path = (cell.dtype, cell.runtime, cell.quant, cell.kernel)
    committed = (
        bounds.of_version_1(*path)
        if isinstance(record.gate, GateVersion1)
        else bounds.of(*path, record.model.shape.hidden, cell.weights_id == SYNTHETIC_ID)
    )
    for name, value in (committed | _stated_by_older_code(record)).items():
        if gate.get(name) != value:
            yield f"gate.{name}: {gate.get(name)} stored, {value} is committed for this cell"


def _stated_by_older_code(record: MeasuredRecord) -> dict[str, float]:
    """Returns the bounds that the code of this very session stated, if they were others than today's."""
    cell, code = record.cell, record.keys.code_key
    if isinstance(record.gate, GateVersion1):
        of_dtype = bounds.of_version_1(cell.dtype, "", "", "")["noise"]
        return {"noise": of_dtype} if code in older.without_noise() else {}
    under = bounds.derived_under(cell.quant, cell.kernel, cell.dtype)
    is_under = under and under["code_key"] == code
    return {"stated_ratio": under["ratio"], "stated_spread": under["spread"]} if is_under else {}


def _version_differences(record: MeasuredRecord) -> Iterator[str]:
    """A session is judged by the rules of its own code, and by no older ones."""
    code, is_first = record.keys.code_key, isinstance(record.gate, GateVersion1)
    if is_first and (record.limits.disturbed_share or record.memory.held_bytes):
        yield "gate.gate_version: missing, though the code of this session had one"
    if is_first != (code in older.of_gate_1()):
        had = "no" if is_first else "only"
        yield f"gate.gate_version: {1 if is_first else gaterules.VERSION}, but the code {code} had {had} version 1"


def _timed_differences(gate: GateVersion2, cell: Cell, protocol: Protocol) -> Iterator[str]:
    """Every timed step is checked: by its token where the pass read one back, and by its cache row."""
    names, steps = pass_names(cell), protocol.steps
    for series, passes, expected in (
        ("tokens", [each.name for each in gate.tokens], [name for name in names if name != "rate"]),
        ("rows", [each.name for each in gate.rows], [*names]),
    ):
        if sorted(passes) != sorted(expected):
            yield f"gate.{series}: of {', '.join(passes)}, expected of {', '.join(expected)}"
    for each in gate.tokens:
        for series, values in (("chosen", each.chosen), ("regrets", each.regrets), ("repeats", each.repeats)):
            if len(values) != steps:
                yield f"gate.tokens {each.name}: {len(values)} {series}, the protocol says {steps}"
    if len(gate.timed_trusted) != steps:
        yield f"gate.timed_trusted: {len(gate.timed_trusted)} errors, the protocol says {steps} steps"


def _token_differences(gate: GateVersion2, vocab: int) -> Iterator[str]:
    """A token has one regret at a position, whichever pass chose it and whether it came first or was repeated there."""
    regrets = dict[tuple[int, int], float]()
    for each in gate.tokens:
        for step, token, regret in _regrets(each):
            if regrets.setdefault((step, token), regret) != regret:
                yield f"gate.tokens {each.name}: token {token} at step {step} has the regret {regret}, and another"
            if not 0 <= token < vocab and regret != gaterules.NOT_FINITE:
                yield f"gate.tokens {each.name}: {token} is no token of {vocab}"
    best = Counter(step for (step, _), regret in regrets.items() if regret == 0)
    yield from (f"gate.tokens: {count} tokens are the best at step {step}" for step, count in best.items() if count > 1)


def _regrets(tokens: Tokens) -> Iterator[tuple[int, int, float]]:
    """Yields step, token and regret of each token that a pass chose, and of each that the next step repeats."""
    for step, (token, regret) in enumerate(zip(tokens.chosen, tokens.regrets, strict=False)):
        yield step, token, regret
    for step, (token, regret) in enumerate(zip(tokens.chosen, tokens.repeats[1:], strict=False), 1):
        yield step, token, regret


def _not_finite_differences(gate: Gate) -> Iterator[str]:
    """A session that names a weight which is not finite has logits that are not."""
    fault = gate.not_finite
    if not fault:
        return
    if not any(gaterules.NOT_FINITE in (*check.errors, *check.trusted) for check in gate.checks):
        yield "gate.not_finite: there, though every logit error is a finite number"
    if len({part is None for part in (fault.tensor, fault.value, fault.how)}) > 1:
        yield f"gate.not_finite: {shown(to_json(fault))} names a weight only in part"


def _trusted_differences(record: MeasuredRecord) -> Iterator[str]:
    """Trusted eager is one forward pass: checks that meet at a position have one error of it there."""
    counts, gate = record.protocol, record.gate
    timed = floors.timed_positions(record.cell.ctx, counts.warmup, counts.steps)
    errors = dict(zip(timed, gate.timed_trusted, strict=False)) if isinstance(gate, GateVersion2) else {}
    for check in gate.checks:
        for position, error in zip(check.positions, check.trusted, strict=False):
            if errors.setdefault(position, error) != error:
                yield f"gate.checks {check.name}: trusted {error} at {position}, {errors[position]} in another check"


def _likeness_differences(record: MeasuredRecord) -> Iterator[str]:
    """A step made of the eager one is held against it wherever it is driven; eager itself is not."""
    runtime = registry.runtime(record.cell.runtime).DECLARATION
    expected = _driven_positions(record) if runtime.made_of_eager else {}
    likenesses = record.gate.eager or ()
    yield from unequal("gate.eager", [each.name for each in likenesses], "what is driven", list(expected))
    for each in likenesses:
        yield from _likeness_faults(each, expected.get(each.name, []))


def _likeness_faults(likeness: Likeness, positions: list[int]) -> Iterator[str]:
    place = f"gate.eager {likeness.name}"
    for series, values in stated(likeness):
        if series != "name" and len(values) != len(positions):
            yield f"{place}.{series}: {len(values)} for {len(positions)} positions"
    if list(likeness.positions) != positions:
        yield f"{place}: positions {shown(list(likeness.positions))}, not {shown(positions)}"
    for equal, difference, same in zip(likeness.equal, likeness.differences, likeness.same_token, strict=False):
        if equal and (difference or not same):
            yield f"{place}: equal, and yet different by {difference}"


def _driven_positions(record: MeasuredRecord) -> dict[str, list[int]]:
    ctx, counts = record.cell.ctx, record.protocol
    is_first = isinstance(record.gate, GateVersion1)
    count = floors.GATE_STEPS if is_first else floors.driven_steps(ctx, counts.warmup, counts.steps)
    starts = {"short": floors.GATE_SHORT_CTX, "ctx": ctx}
    return {name: list(range(start, start + count)) for name, start in starts.items()}


def _checked_positions(record: MeasuredRecord) -> dict[str, list[int]]:
    """Returns name and positions of every comparison that the cell and protocol dictate."""
    counts = record.protocol
    last = floors.last_position(record.cell.ctx, counts.warmup, counts.steps)
    return _driven_positions(record) | {name: [last] for name in pass_names(record.cell)}


def _check_differences(check: Check, positions: list[int]) -> Iterator[str]:
    place = f"gate.checks {check.name}"
    if list(check.positions) != positions:
        yield f"{place}: positions {shown(list(check.positions))}, not {shown(positions)}"
    for series, values in (("errors", check.errors), ("trusted", check.trusted)):
        if len(values) != len(positions):
            yield f"{place}: {len(values)} {series} for {len(positions)} positions"
