"""Checks the gate's section: its bounds are the committed ones, and it has every check that cell and protocol
require."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from runner import registry
from runner.cell import floors
from runner.cell.jsonform import present_fields, to_json
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import SYNTHETIC_ID
from runner.record import bounds, gaterules
from runner.record.line import short_repr, unequal
from runner.record.sections.energy import Energy
from runner.record.sections.gate import Check, Gate, GateVersion1, GateVersion2, Likeness, Tokens
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import older
from runner.record.verify.passes import pass_names


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each bound, check, token and row that differs from what cell and protocol require."""
    yield from _bound_differences(record)
    yield from _version_differences(record)
    missing = _checked_positions(record)
    for check in record.gate.checks:
        if check.name not in missing:
            yield f"gate.checks: {short_repr(check.name)} is a duplicate, or no check of this cell"
        else:
            yield from _check_differences(check, missing.pop(check.name))
    for name in missing:
        yield f"gate.checks: {name} is missing"
    yield from _trusted_differences(record)
    if isinstance(record.gate, GateVersion2):
        yield from _timed_differences(record.gate, _checked_passes(record), record.protocol)
        yield from _token_differences(record.gate, record.model.shape.vocab)
    yield from _not_finite_differences(record.gate)
    yield from _likeness_differences(record)


def _bound_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each stated bound that differs from the one committed for the cell and the gate's version."""
    gate, cell = dict(present_fields(record.gate)), record.cell
    path = (cell.dtype, cell.runtime, cell.quant, cell.kernel)
    committed = (
        bounds.version_1_bounds(*path)
        if isinstance(record.gate, GateVersion1)
        else bounds.cell_bounds(*path, record.model.shape.hidden, cell.weights_id == SYNTHETIC_ID)
    )
    for name, value in (committed | _stated_by_older_code(record)).items():
        if gate.get(name) != value:
            yield f"gate.{name}: {gate.get(name)} stored, {value} is committed for this cell"


def _stated_by_older_code(record: MeasuredRecord) -> dict[str, float]:
    """Returns the bounds that this session's code stated, if they differ from today's."""
    cell, code = record.cell, record.keys.code_key
    if isinstance(record.gate, GateVersion1):
        dtype_noise = bounds.version_1_bounds(cell.dtype, "", "", "")["noise"]
        return {"noise": dtype_noise} if code in older.keys_without_noise() else {}
    source = bounds.derived_under(cell.quant, cell.kernel, cell.dtype)
    is_source = source and source["code_key"] == code
    return {"stated_ratio": source["ratio"], "stated_spread": source["spread"]} if is_source else {}


def _version_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if the gate's version is not that of the session's code."""
    code, is_first = record.keys.code_key, isinstance(record.gate, GateVersion1)
    if is_first and (record.limits.disturbed_share or record.memory.held_bytes):
        yield "gate.gate_version: missing, but the other sections are of a later version"
    if is_first != (code in older.gate_1_keys()):
        support = "did not have" if is_first else "had only"
        yield f"gate.gate_version: {1 if is_first else gaterules.VERSION}, but the code {code} {support} version 1"


def _timed_differences(gate: GateVersion2, names: Mapping[str, int], protocol: Protocol) -> Iterator[str]:
    """Yields a line for each timed step whose cache row, or whose token if the pass read one back, was not checked."""
    for series, passes, expected in (
        ("tokens", [name for each in gate.tokens for name in each.passes], [name for name in names if name != "rate"]),
        ("rows", [rows.name for rows in gate.rows], [*names]),
    ):
        if sorted(passes) != sorted(expected):
            yield f"gate.{series}: of the passes {', '.join(passes)}, expected {', '.join(expected)}"
    for tokens in gate.tokens:
        steps = names.get(tokens.name, protocol.steps)
        for series, values in (("chosen", tokens.chosen), ("regrets", tokens.regrets), ("repeats", tokens.repeats)):
            if len(values) != steps:
                yield f"gate.tokens {tokens.name}: {len(values)} {series}, the protocol says {steps}"
        if not set(tokens.also or ()) <= set(protocol.wall_windows):
            yield f"gate.tokens {tokens.name}.also: {', '.join(tokens.also or ())}, which are not all windows"
    if len(gate.timed_trusted) != protocol.steps:
        yield f"gate.timed_trusted: {len(gate.timed_trusted)} errors, the protocol says {protocol.steps} steps"


def _checked_passes(record: MeasuredRecord) -> dict[str, int]:
    """Returns name → positions of each pass whose state the gate checks: each window of the wall pass, the other timed
    passes, and the one that measures energy."""
    protocol = record.protocol
    others = {name: protocol.other_steps for name in pass_names(record.cell) if name != "wall"}
    energy = {"energy": protocol.steps} if isinstance(record.energy, Energy) else {}
    return dict.fromkeys(protocol.wall_windows, protocol.steps) | others | energy


def _token_differences(gate: GateVersion2, vocab: int) -> Iterator[str]:
    """Yields a line for each token with two regrets at a position, or outside of the vocabulary, and for each position
    with two best tokens."""
    regrets = dict[tuple[int, int], float]()
    for tokens in gate.tokens:
        for step, token, regret in _regrets(tokens):
            if (other := regrets.setdefault((step, token), regret)) != regret:
                yield f"gate.tokens {tokens.name}: token {token} at step {step} has the regrets {other} and {regret}"
            if not 0 <= token < vocab and regret != gaterules.NOT_FINITE:
                yield f"gate.tokens {tokens.name}: token {token} is not in the vocabulary of {vocab}"
    best = Counter(step for (step, _), regret in regrets.items() if regret == 0)
    yield from (f"gate.tokens: {count} tokens are the best at step {step}" for step, count in best.items() if count > 1)


def _regrets(tokens: Tokens) -> Iterator[tuple[int, int, float]]:
    """Yields step, token and regret of each token that a pass chose, and again for each token at the next step."""
    for step, (token, regret) in enumerate(zip(tokens.chosen, tokens.regrets, strict=False)):
        yield step, token, regret
    for step, (token, regret) in enumerate(zip(tokens.chosen, tokens.repeats[1:], strict=False), 1):
        yield step, token, regret


def _not_finite_differences(gate: Gate) -> Iterator[str]:
    """Yields the faults of `not_finite`: it needs logits that are not finite, and describes a weight completely."""
    fault = gate.not_finite
    if not fault:
        return
    if not any(gaterules.NOT_FINITE in (*check.errors, *check.trusted) for check in gate.checks):
        yield "gate.not_finite: present, but every logit error is finite"
    if len({part is None for part in (fault.tensor, fault.value, fault.how)}) > 1:
        yield f"gate.not_finite: {short_repr(to_json(fault))} does not have all of tensor, value and how"


def _trusted_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each position at which two checks have different errors of trusted eager, which is a single
    forward pass."""
    counts, gate = record.protocol, record.gate
    timed = floors.timed_positions(record.cell.ctx, counts.warmup, counts.steps)
    errors = dict(zip(timed, gate.timed_trusted, strict=False)) if isinstance(gate, GateVersion2) else {}
    for check in gate.checks:
        for position, error in zip(check.positions, check.trusted, strict=False):
            if errors.setdefault(position, error) != error:
                yield (
                    f"gate.checks {check.name}: trusted {error} at {position}, but {errors[position]} in another check"
                )


def _likeness_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each missing or incomplete comparison with eager. Only steps built from the eager step have
    such comparisons."""
    runtime = registry.runtime(record.cell.runtime).DECLARATION
    expected = _driven_positions(record) if runtime.made_of_eager else {}
    likenesses = record.gate.eager or ()
    names = [likeness.name for likeness in likenesses]
    yield from unequal("gate.eager", names, "the expected list", list(expected))
    for likeness in likenesses:
        yield from _likeness_faults(likeness, expected.get(likeness.name, []))


def _likeness_faults(likeness: Likeness, positions: list[int]) -> Iterator[str]:
    place = f"gate.eager {likeness.name}"
    for series, values in present_fields(likeness):
        if series != "name" and len(values) != len(positions):
            yield f"{place}.{series}: {len(values)} for {len(positions)} positions"
    if list(likeness.positions) != positions:
        yield f"{place}: positions {short_repr(list(likeness.positions))}, expected {short_repr(positions)}"
    for equal, difference, same in zip(likeness.equal, likeness.differences, likeness.same_token, strict=False):
        if equal and (difference or not same):
            yield f"{place}: equal, but the difference is {difference} or the token differs"


def _driven_positions(record: MeasuredRecord) -> dict[str, list[int]]:
    ctx, counts = record.cell.ctx, record.protocol
    is_first = isinstance(record.gate, GateVersion1)
    count = floors.GATE_STEPS if is_first else floors.teacher_forced_steps(ctx, counts.warmup, counts.steps)
    starts = {"short": floors.GATE_SHORT_CTX, "ctx": ctx}
    return {name: list(range(start, start + count)) for name, start in starts.items()}


def _checked_positions(record: MeasuredRecord) -> dict[str, list[int]]:
    """Returns name → positions of every comparison that cell and protocol require."""
    ctx, warmup = record.cell.ctx, record.protocol.warmup
    last = {name: [floors.last_position(ctx, warmup, steps)] for name, steps in _checked_passes(record).items()}
    return _driven_positions(record) | last


def _check_differences(check: Check, positions: list[int]) -> Iterator[str]:
    place = f"gate.checks {check.name}"
    if list(check.positions) != positions:
        yield f"{place}: positions {short_repr(list(check.positions))}, expected {short_repr(positions)}"
    for series, values in (("errors", check.errors), ("trusted", check.trusted)):
        if len(values) != len(positions):
            yield f"{place}: {len(values)} {series} for {len(positions)} positions"
