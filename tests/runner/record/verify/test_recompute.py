"""`runner verify` finds whatever is damaged, missing or false in a record."""

import copy
import json
import math
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.cell import catalogue
from runner.cell.cell import Cell, short_hash
from runner.cell.jsonform import Misfit, to_json
from runner.cell.scheme import Scheme
from runner.errors import BadRecord
from runner.record import judgement, record
from runner.record.sections.gate import Findings
from runner.record.sections.quantities import Bytes, Floor, Latency
from runner.record.verify import actual, recompute
from tests.support.derive import derive, is_measured, judge
from tests.support.records import cpu_record, example_record, failed_record, held, of_gate_version_1, packed_record

COMMITTED = min((Path(__file__).parents[4] / "experiments" / "records" / "h200").glob("*.json"))


def test_an_untouched_record_has_no_differences():
    assert recompute.differences(example_record()) == []


COUNTED = ("weights", "weights_measured")


def names(kind):
    return tuple(field.name for field in fields(kind))


DERIVED = [
    *(
        (section, name)
        for section, kind in (("latency", Latency), ("floor", Floor), ("gate", Findings))
        for name in names(kind)
    ),
    *(("bytes", name) for name in names(Bytes) if name not in COUNTED),
    *(("probes", "read_gbs"), ("probes", "launch_us"), ("cost_s", "fixed")),
]


@pytest.mark.parametrize(("section", "name"), DERIVED)
def test_each_derived_number_is_recomputed(section, name):
    found = example_record()
    stored = found[section][name]
    # ten times what a difference may be, and no more
    found[section][name] = 12345.678 if stored is None else stored * (1 + 1e-8) or 1e-12
    assert any(f"{section}.{name}" in line for line in recompute.differences(found))


def test_a_changed_raw_step_a_verdict_and_a_key_are_noticed():
    found = example_record()
    found["passes"]["wall"]["steps_ms"] = [step / 2 for step in found["passes"]["wall"]["steps_ms"]]
    assert any("latency.step_wall_ms" in line for line in recompute.differences(found))
    lied = copy.deepcopy(example_record())
    lied["gate"]["checks"][0]["errors"][0] = 0.5
    assert any(line.startswith("valid") for line in recompute.differences(lied))
    moved = example_record()
    moved["cell"]["ctx"] = 4096
    assert any("cell_key" in line for line in recompute.differences(moved))


def test_a_checkpoint_may_untie_a_tied_model_and_synthetic_weights_may_not(monkeypatch):
    model = catalogue.models()["qwen2.5-7b"]
    tied = replace(model, shape=replace(model.shape, tied_embedding=True))
    monkeypatch.setattr(catalogue, "models", lambda: {"qwen2.5-7b": tied})
    assert recompute.differences(example_record(cell={"weights_id": "content-0123456789abcdef"})) == []
    assert "model.shape: not that of qwen2.5-7b" in recompute.differences(example_record())


def test_a_checkpoint_ties_no_untied_model():
    found = example_record(cell={"weights_id": "content-0123456789abcdef"})
    found["model"]["shape"]["tied_embedding"] = True
    assert "model.shape: not that of qwen2.5-7b" in recompute.differences(found)


def dynamic():
    return example_record(cell={"cache": "dynamic"})


def on_cpu():
    return cpu_record(cell={"cache": "dynamic"})


def older():
    """A record of gate version 1."""
    return of_gate_version_1(example_record())


def committed():
    return record.read(COMMITTED)


def put(path, value):
    """A falsification: `value` at a dotted path; a number in the path is an index, a function changes what is there."""

    def falsify(found):
        *parents, leaf = [int(part) if part.lstrip("-").isdigit() else part for part in path.split(".")]
        for parent in parents:
            found = found[parent]
        found[leaf] = value(found[leaf]) if callable(value) else value

    return falsify


def drop(path):
    def falsify(found):
        *parents, leaf = path.split(".")
        for parent in parents:
            found = found[parent]
        del found[leaf]

    return falsify


def without_pass(name):
    """Take a pass out with all that points to it."""

    def falsify(found):
        del found["passes"][name]
        found["gate"]["checks"] = [check for check in found["gate"]["checks"] if check["name"] != name]

    return falsify


def copy_pass(name, source):
    def falsify(found):
        counts = ("steps_ms", "segments", "compiled", *(("other_cpu_cores",) if name == "revisit" else ()))
        found["passes"][name] = {field: found["passes"][source][field] for field in counts}
        found["gate"]["checks"].append({**found["gate"]["checks"][-1], "name": name})

    return falsify


def only_checks(*names):
    return put("gate.checks", lambda checks: [check for check in checks if check["name"] in names])


def change_check(which, **series):
    def falsify(found):
        (check,) = [check for check in found["gate"]["checks"] if check["name"] == which]
        check |= {field: change(check[field]) for field, change in series.items()}

    return falsify


def rename_cell(**fields):
    """Another cell, with the key that it has."""

    def falsify(found):
        found["cell"] |= fields
        found["keys"]["cell_key"] = Cell.from_json(found["cell"]).key

    return falsify


def shorten(values):
    return values[:-1]


def a_little_more(limit):
    return limit + 1 if isinstance(limit, int) else limit * 1.0001


def shift(values):
    return [value + 1 for value in values]


def packed(*of):
    """A maker of records of packed weights; `of` as packed_record takes it."""
    return lambda: packed_record(*of)


def of_checkpoint():
    """A record whose weights are no synthetic ones: any scheme of their format may be theirs."""
    found = packed_record()
    rename_cell(options={}, weights_id="content-0123456789abcdef")(found)
    found["request"]["weights"] = "local"
    found["gate"]["checkpoint_spread"] = 0.75
    derive(found)
    return found


GPTQ, AWQ, NF4 = packed("gptq"), packed("awq", "marlin"), packed("bnb-nf4", "bitsandbytes", "bf16")
ENGINE = packed("gptq", "exllamav2", "fp16", 18.0, "exllamav2")


# what is falsified in which record, and how the line begins that names it
LIES = [
    (dynamic, only_checks("short"), "gate.checks: ctx is missing"),
    (dynamic, only_checks("short"), "gate.checks: wall is missing"),
    (dynamic, only_checks("ctx", "wall", "revisit", "span", "rate", "busy"), "gate.checks: short is missing"),
    (on_cpu, only_checks("short", "ctx", "wall"), "gate.checks: revisit is missing"),
    (example_record, put("gate.checks", lambda checks: [*checks, checks[0]]), "gate.checks: 'short' is a duplicate"),
    (
        example_record,
        change_check("rate", name=lambda _: "rated"),
        "gate.checks: 'rated' is a duplicate, or no check",
    ),
    (example_record, change_check("short", positions=shift), "gate.checks short: positions [18, 19,"),
    (example_record, change_check("ctx", positions=shift), "gate.checks ctx: positions [2049, 2050,"),
    (
        example_record,
        change_check("ctx", positions=shorten, errors=shorten, trusted=shorten),
        "gate.checks ctx: positions [2048, 2049,",
    ),
    # the last of 5 warm-up and 30 timed steps from 2048 is at 2048 + 5 + 30 - 1 = 2082
    (
        example_record,
        change_check("wall", positions=lambda _: [2081]),
        "gate.checks wall: positions [2081], expected [2082]",
    ),
    (
        example_record,
        change_check("busy", positions=lambda _: [2048]),
        "gate.checks busy: positions [2048], expected [2082]",
    ),
    (example_record, change_check("short", errors=shorten), "gate.checks short: 31 errors for 32 positions"),
    (example_record, change_check("ctx", trusted=shorten), "gate.checks ctx: 31 trusted for 32 positions"),
    (committed, change_check("rate", trusted=lambda _: [0.09]), "gate.checks rate: trusted 0.09 at 16418"),
    *((dynamic, without_pass(name), f"passes.{name}: missing") for name in ("revisit", "span", "rate", "busy")),
    (example_record, without_pass("span"), "passes.span: missing"),
    (on_cpu, without_pass("revisit"), "passes.revisit: missing"),
    (example_record, copy_pass("revisit", "wall"), "passes.revisit: a session of this cell has no such pass"),
    (on_cpu, copy_pass("span", "wall"), "passes.span: a session of this cell has no such pass"),
    *(
        (dynamic, put(f"passes.{series}", shorten), f"passes.{series}: 29 steps, the protocol says 30")
        for series in (
            *("wall.steps_ms", "revisit.steps_ms", "span.steps_ms"),
            *("busy.steps_ms", "busy.span_ms", "busy.kernels"),
        )
    ),
    (on_cpu, put("passes.wall.steps_ms", lambda steps: [*steps, 1.0]), "passes.wall.steps_ms: 31 steps"),
    (example_record, put("protocol.steps", 31), "protocol: 5 warm-up and 31 timed steps, but paper has 5 and 30"),
    (example_record, put("kernels", []), "kernels: 0 rows"),
    (example_record, put("gate.cap", 0.2), "gate.cap: 0.2 stored, 0.1 is committed"),
    (example_record, put("gate.cap", 0.05), "gate.cap: 0.05 stored, 0.1 is committed"),
    (older, put("gate.noise", 0.1), "gate.noise: 0.1 stored, 0.01 is committed"),
    (older, put("gate.cap", 0.2), "gate.cap: 0.2 stored, 0.1 is committed"),
    (
        older,
        put("gate.rows", [{"name": "wall", "unwritten": 0, "difference": 0.0}]),
        "damaged record: gate.rows: only version 2 of the gate has it",
    ),
    (example_record, put("gate.noise", 0.1), "damaged record: gate.noise: only version 1 of the gate has it"),
    *(
        (example_record, put(f"gate.{name}", lambda value: value * 1.5), f"gate.{name}: ")
        for name in ("stated_ratio", "stated_spread", "dtype_ratio", "dtype_spread", "regret_limit")
    ),
    (example_record, put("gate.checkpoint_spread", 0.75), "gate.checkpoint_spread: 0.75 stored, 0.0 is committed"),
    (example_record, drop("limits.disturbed_share"), "limits.disturbed_share: missing"),
    (example_record, put("limits.disturbed_share", 1e-9), "limits.disturbed_share: 1e-09 stated, 0.25 is committed"),
    (
        older,
        put("limits.disturbed_share", 0.25),
        "gate.gate_version: missing, but the other sections are of a later version",
    ),
    (example_record, drop("memory.held_bytes"), "memory.held_bytes: missing"),
    (on_cpu, put("memory.held_bytes", held(1)), "memory.held_bytes: present, but no session of this kind counts them"),
    (
        example_record,
        put("memory.held_bytes.weights.allocator", 1),
        "memory.held_bytes.weights: 1, less than the weights",
    ),
    (
        example_record,
        put("memory.held_bytes.step.allocator", 10**11),
        "memory.held_bytes.step: 100000000000, more than",
    ),
    (
        ENGINE,
        put("actual.settings.scratch_bytes", "n/a"),
        "actual.settings.scratch_bytes: 'n/a' is not a number of bytes",
    ),
    (example_record, put("gate.tokens.0.chosen", [5] * 30), "gate.tokens wall: token 5 at step 1 has the regrets"),
    (
        example_record,
        put("gate.tokens.0.chosen.0", -7),
        "gate.tokens wall: token -7 is not in the vocabulary of 152064",
    ),
    (example_record, put("gate.tokens.1.chosen", [9] * 30), "gate.tokens span: token 9 at step 1 has the regrets"),
    (example_record, put("gate.tokens.1.chosen.0", 9), "gate.tokens: 2 tokens are the best at step 0"),
    (example_record, put("gate.timed_trusted", shorten), "gate.timed_trusted: 29 errors"),
    (example_record, put("gate.tokens.0.regrets", shorten), "gate.tokens wall: 29 regrets"),
    (example_record, put("gate.tokens.0.repeats", shorten), "gate.tokens wall: 29 repeats"),
    (example_record, put("gate.tokens.0.chosen", shorten), "gate.tokens wall: 29 chosen"),
    (example_record, put("gate.tokens", shorten), "gate.tokens: of "),
    (example_record, put("gate.rows", shorten), "gate.rows: of "),
    (committed, put("gate.cap", 0.101), "gate.cap: 0.101 stored, 0.1 is committed"),
    (lambda: of_gate_version_1(GPTQ()), put("gate.noise", 0.029), "gate.noise: 0.029 stored, 0.03 is committed"),
    (lambda: of_gate_version_1(AWQ()), put("gate.noise", 0.03), "gate.noise: 0.03 stored, 0.002 is committed"),
    *((example_record, put(f"limits.{name}", a_little_more), f"limits.{name}: ") for name in to_json(judgement.LIMITS)),
    (example_record, put("request", {}), "request: without gpu, model, ctx, quant, weights"),
    (example_record, put("cost_s", {"prefill": 0.4, "steps": 6.2, "total": 21.0}), "cost_s: without probe, build"),
    (example_record, put("session.finished_ms", 1), "session.finished_ms: before session.started_ms"),
    (example_record, put("probes.read_bytes", 1), "probes.read_bytes: 1, less than 16 times the cache"),
    (
        example_record,
        put("kernels", lambda rows: [*rows[:-1], {"name": "invented", "count": 1.0, "us": 1.0}, rows[-1]]),
        "kernels: 842 per step in all rows, but 841 in passes.busy",
    ),
    (example_record, put("model.shape", lambda shape: {**shape, "layers": 27}), "model.shape: not that of qwen2.5-7b"),
    (example_record, put("actual.attention_backend", "foo"), "actual.attention_backend: 'foo' is not one of"),
    (example_record, put("actual.kernel", "torch-cpu"), "actual.kernel: 'torch-cpu', but cell.kernel is 'cublas'"),
    (example_record, put("actual.runtime", "graph"), "actual.runtime: 'graph', but cell.runtime is 'eager'"),
    (example_record, put("actual.cache", "dynamic"), "actual.cache: 'dynamic', but cell.cache is 'static'"),
    (example_record, put("actual.graph_mode", "whole-step"), "actual.graph_mode: 'whole-step'"),
    (
        example_record,
        put("actual.kernel_names", ["memset"]),
        "actual.kernel_names: none of ['memset'] is a kernel of cublas",
    ),
    (example_record, put("environment.torch", "2.12.0"), "keys.env_key: does not match the section environment"),
    (example_record, put("keys.env_key", "0" * 12), "keys.env_key: does not match the section environment"),
    (committed, put("environment.driver_major", "999"), "keys.env_key: does not match the section environment"),
    (example_record, put("keys.cell_key", "0" * 12), "keys.cell_key: not this cell's"),
    (committed, put("cell.ctx", 4096), "keys.cell_key: not this cell's"),
    (example_record, rename_cell(gpu="h100"), "gpu.key: 'h200', but cell.gpu is 'h100'"),
    (example_record, rename_cell(model="mistral-7b"), "model.name: 'qwen2.5-7b', but cell.model is 'mistral-7b'"),
    (example_record, rename_cell(cache="engine"), "cell.cache: 'engine' does not go with eager"),
    (example_record, rename_cell(kernel="torch-cpu"), "cell.gpu: 'cuda' does not go with torch-cpu"),
    (
        example_record,
        rename_cell(quant="fp8"),
        "cell.quant: 'fp8' is unknown to this version (it has awq, bf16, bnb-nf4, gptq)",
    ),
    (failed_record, rename_cell(runtime="warp"), "cell.runtime: 'warp' is unknown to this version"),
    (GPTQ, drop("model.scheme"), "model.scheme: missing, but the weights are gptq"),
    (
        example_record,
        put("model", lambda found: {**found, "scheme": Scheme(128).to_json()}),
        "model.scheme: present, but the weights are bf16",
    ),
    (GPTQ, put("model.scheme.sym", False), "model.scheme: {'desc_act': False, 'double_quant'"),
    (GPTQ, put("model.scheme.double_quant", True), "model.scheme: gptq is never double_quant"),
    (AWQ, put("model.scheme.sym", True), "model.scheme: awq is never sym"),
    (AWQ, put("model.scheme.desc_act", True), "model.scheme: awq is never desc_act"),
    (AWQ, put("model.scheme.group_size", 256), "model.scheme: marlin does not support it: it takes groups of 32"),
    (NF4, put("model.scheme.group_size", 128), "model.scheme: bnb-nf4 has groups of 64, not of 128"),
    (NF4, put("model.scheme.sym", True), "model.scheme: bnb-nf4 is never sym"),
    # Qwen2.5-7B's 3584 inputs are 28 groups of 128, and no whole number of 96
    (of_checkpoint, put("model.scheme.group_size", 96), "model.scheme.group_size: 96 does not divide 3584 inputs"),
    (GPTQ, rename_cell(options={}), "cell.options: without sym"),
    (failed_record, put("keys.cell_key", "0" * 12), "keys.cell_key: not this cell's"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    found = make()
    assert recompute.differences(found) == []
    falsify(found)
    if is_measured(found):
        with suppress(Misfit):  # from a record of no type nothing is derived
            derive(found)
            judge(found)
    assert any(said.startswith(line) for said in recompute.differences(found)), recompute.differences(found)


def test_older_code_held_a_coarse_kernel_to_the_noise_of_its_dtype():
    found = of_gate_version_1(GPTQ())
    assert found["gate"]["noise"] == 0.03
    found["gate"]["noise"] = 0.002
    found["keys"]["code_key"] = "b89977194ec4"
    derive(found)
    judge(found)
    assert recompute.differences(found) == []


DAMAGES = [
    *(
        (put(f"passes.{place}", value), f"passes.{place}: ")
        for place in ("wall.steps_ms.0", "span.steps_ms.3", "busy.steps_ms.-1", "busy.span_ms.0", "rate.total_ms")
        for value in (-1.0, math.nan, math.inf, "5.0", None, True)
    ),
    (put("passes.busy.kernels.0", -1), "passes.busy.kernels[0]: -1 is below 0"),
    (put("passes.wall.steps_ms.0", 0.0), "passes.wall.steps_ms[0]: 0.0 is not above 0"),
    (put("passes.wall.steps_ms.0", 10**400), "passes.wall.steps_ms[0]: "),
    (put("gate.checks", []), "gate.checks: 0 items, expected at least 1"),
    (put("gate.checks.0.errors.0", -0.01), "gate.checks[0].errors[0]: -0.01 is below 0"),
    (put("gate.checks.0.errors.0", math.nan), "gate.checks[0].errors[0]: nan is not of type number"),
    (put("gate.checks.0.positions.0", "17"), "gate.checks[0].positions[0]: '17' is not of type integer"),
    (put("actual.kernel_names", []), "actual.kernel_names: 0 items, expected at least 1"),
    (put("prefill.ms", -3), "prefill.ms: -3 is below 0"),
    (put("cost_s.total", "21"), "cost_s.total: '21' is not of type number"),
    (put("probes.read_samples_gbs.1", 0), "probes.read_samples_gbs[1]: 0 is not above 0"),
    (put("session.started_ms", "now"), "session.started_ms: 'now' is not of type integer"),
    (put("session.id", "it's"), 'session.id: "it\'s" does not match'),
    (put("cell.surprise", 1), "cell.surprise: a record has no such field"),
    (put("cell.two\nlines", 1), "cell.'two\\nlines': a record has no such field"),
    (put("cell.ctx", "2048"), "cell.ctx: '2048' is not of type integer"),
    (put("cell.ctx", 2048.0), "cell.ctx: 2048.0 is not of type integer"),
    (put("cell.dtype", "fp7"), "cell.dtype: 'fp7' is not bf16 or fp16 or fp32"),
    (drop("model.shape"), "model.shape is missing"),
    (put("passes", None), "passes: None is not of type object"),
    (drop("passes.wall"), "passes.wall is missing"),
    (drop("limits"), "limits is missing"),
    (drop("keys.env_key"), "keys.env_key is missing"),
    (put("keys.env_key", "xyz"), "keys.env_key: 'xyz' does not match"),
    (put("outcome", []), "outcome: [] is not of type object"),
    (put("valid", "yes"), "valid: 'yes' is not of type boolean"),
    (put("flags", ["a", "a"]), "flags: ['a', 'a'] has an item twice"),
    (put("snapshots.before.ecc", {"enabled": 1}), "snapshots.before.ecc"),
]


def place_of(path):
    """`wall.steps_ms.0` as the line writes it: `wall.steps_ms[0]`."""
    head, _, last = path.partition(": ")
    *parents, leaf = head.split(".")
    return f"{'.'.join(parents)}[{29 if leaf == '-1' else leaf}]: {last}" if leaf.lstrip("-").isdigit() else path


@pytest.mark.parametrize(("falsify", "line"), DAMAGES, ids=[f"{at}-{line}" for at, (_, line) in enumerate(DAMAGES)])
def test_a_value_that_no_record_can_hold_is_named_with_its_place(falsify, line):
    found = example_record()
    assert recompute.differences(found) == []
    falsify(found)
    lines = recompute.differences(found)
    assert any(said.startswith(f"damaged record: {place_of(line)}") for said in lines), lines
    assert not any("\n" in said for said in lines)


def leaves(value):
    """(container, key) of each number, word and series in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if not isinstance(item, dict):
            yield value, key
        yield from leaves(item)


EDITS = {
    int: [lambda _: 0, lambda _: 1, lambda number: number + 1, lambda number: number * 2, lambda _: 10**18],
    float: [lambda _: 0.0, lambda number: number / 3, lambda number: number * 1.5, lambda _: 1e300, lambda _: 5],
    str: [lambda _: "", lambda _: "auto", lambda word: word + "x", lambda _: "eager", lambda _: "gptq"],
    list: [lambda _: [], lambda items: items[:-1], lambda items: items * 2, lambda items: items[::-1]],
}
KINDS = (example_record, dynamic, on_cpu, older, failed_record, GPTQ, ENGINE, committed)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_edit_that_leaves_the_types_makes_verify_fail(data):
    found = data.draw(st.sampled_from(KINDS))()
    for _ in range(data.draw(st.integers(1, 3))):
        section = found[data.draw(st.sampled_from([name for name in found if isinstance(found[name], dict | list)]))]
        places = [(container, key) for container, key in leaves(section) if type(container[key]) in EDITS]
        if places:
            container, key = data.draw(st.sampled_from(places))
            container[key] = data.draw(st.sampled_from(EDITS[type(container[key])]))(container[key])
    assert all(isinstance(line, str) for line in recompute.differences(found))


def test_numbers_too_large_to_derive_from_are_named():
    found = example_record()
    found["model"]["shape"]["layers"] = 10**300
    found["cell"]["ctx"] = 10**300
    assert any("its numbers cannot be derived (OverflowError" in line for line in recompute.differences(found))


def test_the_key_of_the_environment_is_the_workers(tiny_job):
    from runner.worker import environment

    assert record.env_key(environment.environment(tiny_job, 0)) == short_hash(environment.versions(tiny_job), 12)


def test_a_name_that_the_worker_cut_may_have_borne_a_signature():
    from runner.worker import profiling

    assert profiling.NAME_LENGTH >= actual.CUT_NAME_LENGTH
    found = example_record()
    found["actual"]["kernel_names"] = ["x" * profiling.NAME_LENGTH]
    assert recompute.differences(found) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete JSON file"),
        (b"{", "not a complete JSON file"),
        (b"\x00\xff\xfe\x80", "cannot be read ('utf-8' codec"),
        (b"[]", "not a record of this project"),
        (b"3", "not a record of this project"),
        (b'{"schema_version": 99}', "schema_version 99, this version reads 1"),
        (b'{"schema_version": 1}', "damaged record, without session, request"),
        (b'{"schema_version": 1, "outcome": []}', "damaged record, without session, request"),
        (b'{"schema_version": 1, "valid": NaN}', "NaN is not a number in JSON"),
        (b"[" * 100_000, "not a complete JSON file"),
        (b'{"schema_version": 1' + b"0" * 5000, "not a complete JSON file"),
        (b" " * (record.MAXIMUM_BYTES + 1), "larger than any record"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_that_is_no_record_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    for read in (record.read, recompute.read_verified):
        with pytest.raises(BadRecord) as caught:
            read(tmp_path / "x.json")
        assert str(caught.value).startswith(f"{tmp_path}/x.json: {reason}"[: len(str(tmp_path)) + 8])
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("outcome", [[], None, {}, {"status": ["measured"]}, {"status": "done"}])
def test_an_outcome_that_is_none_is_refused_in_one_line(outcome):
    with pytest.raises(BadRecord, match=r"x.json: damaged record, unknown outcome"):
        record.parse(json.dumps({**failed_record(), "outcome": outcome}), "x.json")


@pytest.mark.parametrize("section", record.ALWAYS_PRESENT[1:])
def test_a_record_without_a_section_is_no_whole_one(section):
    found = {name: value for name, value in failed_record().items() if name != section}
    with pytest.raises(BadRecord, match=rf"x.json: damaged record, without {section}$"):
        record.parse(json.dumps(found), "x.json")


@pytest.mark.parametrize("section", record.MEASURED_ONLY)
def test_a_measurement_without_a_section_is_no_whole_one(section):
    found = {name: value for name, value in example_record().items() if name != section}
    with pytest.raises(BadRecord, match=rf"x.json: damaged record, without {section}$"):
        record.parse(json.dumps(found), "x.json")
    assert f"damaged record: {section} is missing" in recompute.differences(found)


def test_what_is_not_there_or_no_file_is_said(tmp_path):
    with pytest.raises(BadRecord, match="no such file"):
        record.read(tmp_path / "x.json")
    with pytest.raises(BadRecord, match="not a file"):
        record.read(tmp_path)


def test_reading_for_others_names_the_first_difference_and_how_to_see_the_rest(tmp_path):
    found = example_record()
    found["passes"]["wall"]["steps_ms"].pop()
    found["keys"]["env_key"] = "0" * 12
    record.write(found, tmp_path / "r.json")
    with pytest.raises(BadRecord, match=r"29 steps, the protocol says 30 \(and 1 more: `runner verify` lists them\)"):
        recompute.read_verified(tmp_path / "r.json")


def test_a_record_survives_its_file(tmp_path):
    found = example_record()
    record.write(found, tmp_path / "r.json")
    assert to_json(recompute.read_verified(tmp_path / "r.json")) == json.loads(json.dumps(found))
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
