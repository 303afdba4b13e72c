"""Each rule of `runner verify` alone: what breaks it is named, and honest sessions near it are right."""

import copy
from functools import cache
from pathlib import Path

import pytest

from runner.errors import BadRecord
from runner.record import gaterules, read, record
from runner.record.verify import recompute
from tests.runner.record.verify.edits import all_of, derived_again, drop, put, times
from tests.support.derive import file_name
from tests.support.records import QWEN_7B, cpu_record, example_record, failed_record, of_gate_version_1, packed_record

GRAPH = next((Path(__file__).parents[4] / "experiments" / "gate").glob("llama-3.1-8b-2048-gptq-fp16-marlin-*.json"))
FLASH = {"name": "flash_fwd_splitkv_kernel", "count": 28.0, "us": 148.91}
WEIGHTS = 15_231_233_024  # Qwen2.5-7B in bf16
CONTAINER = {"engine": "docker", "image": "decode-floor", "digest": "sha256:" + "0" * 64, "tree_key": ""}
GB10 = {
    "bandwidth_gbs": 273.0,
    "compute_capability": "12.1",
    "memory_bytes": 128 * 10**9,
    "last_level_cache_bytes": 24 * 2**20,
}
NOT_FINITE = {"tensor": "lm_head.weight", "value": "NaN", "how": "stored"}


def committed():
    return record.read(GRAPH)


def older():
    return of_gate_version_1(example_record())


def dynamic():
    return example_record(cell={"cache": "dynamic"})


def engine():
    return packed_record("gptq", "exllamav2", "fp16", 18.0, "exllamav2")


def of_checkpoint():
    """Weights of a checkpoint, packed as synthetic ones are."""
    found = packed_record()
    all_of(
        put("cell.options", {}),
        put("cell.weights_id", "headers-0123456789abcdef"),
        put("request.weights", "local"),
        put("gate.checkpoint_spread", 0.75),
    )(found)
    return derived_again(found)


def of_hub():
    found = of_checkpoint()
    all_of(put("cell.weights_id", "0123456789" * 4), put("request.weights", "hub"))(found)
    return derived_again(found)


def small_model():
    """One that the catalogue does not have, and that fits into the card's cache: 27 MB."""
    shape = {**QWEN_7B, "layers": 2, "hidden": 896, "heads": 14, "kv_heads": 2, "head_dim": 64, "intermediate": 1024}
    changed = {"name": "mine", "shape": {**shape, "vocab": 4096}}
    found = example_record(cell={"model": "mine"}, request={"model": "mine"}, model=changed)
    assert found["bytes"]["weights"] < 40e6
    found["memory"]["held_bytes"] = {
        stage: {"allocator": size, "device": 50_000_000}
        for stage, size in (("weights", 40_000_000), ("kernel", 40_000_000), ("step", 44_000_000))
    }
    return found


def of_card(key, name, bandwidth_gbs, **figures):
    def edit(found):
        found["cell"]["gpu"] = found["request"]["gpu"] = key
        found["gpu"] |= {"key": key, "name": name, "bandwidth_gbs": bandwidth_gbs, **figures}

    return edit


def stranger(**figures):
    return of_card("x1", "NVIDIA X1", None, catalogued=False, **figures)


def rows(*counts, names=(), others=None):
    """A table of kernels: nvjet rows by count, others by name, and what is summed up; with a pass of as many."""
    table = [{"name": f"nvjet_{number}", "count": count, "us": 3512.6} for number, count in enumerate(counts)]
    table += [{"name": name, "count": count, "us": 300.0} for name, count in names]
    table += [FLASH]
    table += [{"name": "(others)", "count": others, "us": 1208.4}] if others is not None else []

    def edit(found):
        found["kernels"] = [dict(row) for row in table]
        total = sum(row["count"] for row in table)
        found["passes"]["busy"]["kernels"] = [round(total)] * 30
        if others is None:
            found["actual"]["kernel_names"] = ["nvjet_0"]

    return edit


def products(count):
    return put("actual.products_per_step", count)


def tokens(*starts):
    """Chosen, regrets, repeats of the first steps of each pass."""

    def edit(found):
        for each, start in zip(found["gate"]["tokens"], starts, strict=False):
            for series, values in zip(("chosen", "regrets", "repeats"), start, strict=True):
                each[series][: len(values)] = values

    return edit


def not_finite(found):
    """Every logit of the session, and the weight that is to blame."""
    for check in found["gate"]["checks"]:
        check["errors"] = check["trusted"] = [gaterules.NOT_FINITE] * len(check["errors"])
    found["gate"]["timed_trusted"] = [gaterules.NOT_FINITE] * 30
    found["gate"]["not_finite"] = dict(NOT_FINITE)


def likeness(series, step, value):
    return put(f"gate.eager.0.{series}.{step}", value)


MANY_ROWS = {"names": [(f"k{number}", 1.0) for number in range(22)]}
# nvjet is in two rows, 100 runs may be it, too; the 5 rows and the count are rounded by 0.005 each
SHOWN_AS = rows(300.0, 13.0, names=[("x" * 100, 100.0)], others=400.0)

BROKEN = {
    "bytes of other weights": (
        example_record,
        all_of(*(put(f"bytes.{name}", WEIGHTS + 2) for name in ("weights", "weights_measured"))),
        f"bytes.weights: {WEIGHTS + 2} stored, {WEIGHTS} from the shape",
    ),
    "a stranger that is called catalogued": (
        example_record,
        all_of(stranger(), put("gpu.catalogued", True)),
        "gpu.catalogued: true, but 'x1' is not in the catalogue",
    ),
    "a stranger with a datasheet": (
        example_record,
        all_of(stranger(), put("gpu.bandwidth_gbs", 4800.0)),
        "gpu.bandwidth_gbs: 4800, but this card is not in the catalogue",
    ),
    "another count of warm-up steps than asked": (
        example_record,
        all_of(put("request.protocol", "auto"), put("request.warmup", "7")),
        "protocol.warmup: 5, but the requested one is 7",
    ),
    "another count of steps than asked": (
        example_record,
        all_of(put("request.protocol", "auto"), put("request.steps", "29")),
        "protocol.steps: 30, but the requested one is 29",
    ),
    "another protocol than asked": (
        example_record,
        put("request.protocol", "tail"),
        "protocol.name: 'paper', but the requested one is 'tail'",
    ),
    "a protocol that nobody has": (
        example_record,
        put("request.protocol", "short"),
        "request: unknown protocol 'short'",
    ),
    "another attention than asked": (example_record, put("request.attention", "engine"), "request.attention: "),
    "here, in a container": (
        lambda: example_record(container=CONTAINER),
        put("request.where", "here"),
        "request.where: here, but the record has a section container",
    ),
    "a checkpoint with an option of synthetic weights": (
        of_checkpoint,
        put("cell.options", {"sym": "true"}),
        "cell.options: 'sym:true' is not an option",
    ),
    "the option sdpa, and another backend": (
        lambda: example_record(cell={"options": {"sdpa": "flash"}}),
        put("actual.attention_backend", "efficient"),
        "actual.attention_backend: 'efficient', but the option sdpa is 'flash'",
    ),
    "a more telling backend, with all kernels told": (
        example_record,
        all_of(rows(200.0), put("actual.attention_backend", "cudnn"), products(200.0)),
        "actual.attention_backend: cudnn, but the table of kernels shows flash",
    ),
    "a graph that was never launched": (committed, put("actual.graph_launches_per_step", 0.0), "actual.graph_launches"),
    "a graph that was launched twice": (committed, put("actual.graph_launches_per_step", 2.0), "actual.graph_launches"),
    "an engine without a graph": (engine, put("actual.graph_launches_per_step", 0.0), "actual.graph_launches"),
    "a launch in an eager pass": (example_record, put("actual.graph_launches_per_step", 1e-3), "actual.graph_launches"),
    "a matrix left out": (
        example_record,
        products(195.0),
        "actual.products_per_step: 195, but the layers have at least 196",
    ),
    "fewer products than rows": (
        example_record,
        all_of(SHOWN_AS, products(312.969)),
        "actual.products_per_step: 312.969, but the table of kernels has 313 to 813",
    ),
    "more products than rows": (
        example_record,
        all_of(SHOWN_AS, products(813.031)),
        "actual.products_per_step: 813.031, but the table of kernels has 313 to 813",
    ),
    "a name one letter short of a cut one": (
        example_record,
        all_of(rows(200.0, names=[("x" * 99, 100.0)]), products(200.03)),
        "actual.products_per_step: 200.03, but the table of kernels has 200 to 200",
    ),
    "a name that no row has": (
        example_record,
        all_of(rows(200.0), products(200.0), put("actual.kernel_names", ["nvjet_0", "nvjet_9"])),
        "actual.kernel_names: 'nvjet_9' is not in the table of kernels",
    ),
    "24 rows that do not add up": (
        example_record,
        all_of(rows(200.0, **MANY_ROWS), products(200.0), put("passes.busy.kernels", [300] * 30)),
        "kernels: 250 per step in all rows, but 300 in passes.busy",
    ),
    "a token beyond the vocabulary": (
        example_record,
        put("gate.tokens.0.chosen.0", QWEN_7B["vocab"]),
        "gate.tokens wall: token 152064 is not in the vocabulary of 152064",
    ),
    "a token with two regrets, one of them repeated": (
        example_record,
        tokens(([5], [0.0], [0.0, 3.0]), ([7, 5], [0.5, 2.0], [0.0])),
        "gate.tokens span: token 5 at step 1 has the regrets 3.0 and 2.0",
    ),
    "a weight that is not finite over finite logits": (
        example_record,
        put("gate.not_finite", NOT_FINITE),
        "gate.not_finite: present, but every logit error is finite",
    ),
    "a weight that is named in part": (
        example_record,
        all_of(not_finite, put("gate.not_finite.how", None)),
        "gate.not_finite: {",
    ),
    "no likeness to eager": (committed, drop("gate.eager"), "gate.eager: []"),
    "half of the likeness to eager": (committed, put("gate.eager", lambda each: each[:1]), "gate.eager: ['short']"),
    "a likeness at other positions": (
        committed,
        put("gate.eager.1.positions", lambda positions: [position + 1 for position in positions]),
        "gate.eager ctx: positions [2049, 2050,",
    ),
    **{
        f"a likeness with fewer {series}": (
            committed,
            put(f"gate.eager.0.{series}", lambda values: values[:-1]),
            f"gate.eager short.{series}: 31 for 32 positions",
        )
        for series in ("equal", "differences", "same_token")
    },
    "equal, and different": (
        committed,
        all_of(likeness("equal", 3, True), likeness("differences", 3, 1e-3)),
        "gate.eager short: equal, but the difference is 0.001",
    ),
    "equal, with another token": (
        committed,
        all_of(likeness("equal", 3, True), likeness("differences", 3, 0.0), likeness("same_token", 3, False)),
        "gate.eager short: equal, but the difference is 0.0 or the token differs",
    ),
    **{
        f"{name} in version 1 of the gate": (
            older,
            lambda found, name=name: put(f"gate.{name}", example_record()["gate"][name])(found),
            f"damaged record: gate.{name}: only version 2 of the gate has it",
        )
        for name in (
            *("stated_ratio", "stated_spread", "checkpoint_spread", "dtype_ratio", "dtype_spread"),
            *("regret_limit", "timed_trusted", "tokens", "rows"),
        )
    },
    "held bytes in version 1 of the gate": (
        older,
        put("memory.held_bytes", example_record()["memory"]["held_bytes"]),
        "gate.gate_version: missing",
    ),
    **{
        f"no cost of {phase}": (example_record, drop(f"cost_s.{phase}"), f"cost_s: without {phase}")
        for phase in ("probe", "build", "reference", "verify")
    },
    **{
        f"a failure with {section}": (
            failed_record,
            lambda found, section=section: found.update({section: example_record()[section]}),
            f"damaged record: outcome.status: failed, though the record has a measurement ({section})",
        )
        for section in record.MEASURED_ONLY
    },
    "a kernel of another format": (
        example_record,
        put("cell.quant", "awq"),
        "cell.quant: 'awq' does not go with cublas",
    ),
    "a kernel of another dtype": (
        packed_record,
        put("cell.dtype", "fp32"),
        "cell.dtype: 'fp32' does not go with exllam",
    ),
    "a runtime of another device": (
        cpu_record,
        put("cell.runtime", "graph"),
        "cell.gpu: 'cpu' does not go with graph",
    ),
    "a runtime of another format": (
        example_record,
        put("cell.runtime", "exllamav2"),
        "cell.quant: 'bf16' does not go with exllamav2 (allowed: gptq)",
    ),
    "a runtime of another kernel": (
        engine,
        put("cell.kernel", "marlin"),
        "cell.kernel: 'marlin' does not go with exllamav2",
    ),
    "a runtime with another attention": (
        example_record,
        put("cell.attention", "engine"),
        "cell.attention: 'engine' does not go with eager",
    ),
}


@cache
def right(make):
    found = make()
    assert recompute.differences(found) == []
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    make, edit, line = BROKEN[name]
    found = copy.deepcopy(right(make))
    edit(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith(line) for one in said), said


HONEST = {
    "a tighter limit": (example_record, put("limits.drift", 0.04)),
    "no limit to how far passes may lie apart": (example_record, drop("limits.passes_disagreement")),
    "a card that nobody knows": (example_record, stranger()),
    "a Jetson whose modules have one name": (
        example_record,
        all_of(
            of_card("jetson-orin", "Orin (nvgpu)", None, compute_capability="8.7"),
            put("gpu.memory_bytes", 32 * 10**9),
            put("gpu.last_level_cache_bytes", 2 * 2**20),
            *(put(f"snapshots.{moment}.memory_total_bytes", None) for moment in ("before", "after")),
        ),
    ),
    "a card whose cache no page states": (
        lambda: example_record(step_ms=80.0, gpu=GB10),
        all_of(
            of_card("gb10", "NVIDIA GB10", 273.0),
            put("passes.busy.steps_ms", times(14)),
            *(put(f"kernels.{row}.us", times(14)) for row in range(3)),
            put("prefill.ms", 80.0),
        ),
    ),
    "a host that does not tell its memory": (cpu_record, put("host.memory_bytes", 0)),
    "a card that does not tell its clocks": (
        example_record,
        all_of(
            *(put(f"snapshots.after.{name}_clock_max_mhz", None) for name in ("sm", "memory")),
            put("snapshots.after.memory_total_bytes", None),
        ),
    ),
    "no snapshot": (example_record, put("snapshots.before", lambda told: {**told, "memory_used_bytes": None})),
    "a model that nobody knows, in the card's cache": (
        small_model,
        all_of(put("prefill.ms", 0.001), put("prefill.cold_ms", 0.001), put("passes.rate.total_ms", 0.1)),
    ),
    "a context of one token": (lambda: example_record(cell={"ctx": 1}), lambda _: None),
    "a seed that was never asked for": (lambda: example_record(session={"seed": 5}), lambda _: None),
    "a seed of none": (example_record, put("request.seed", "0")),
    "counts of one's own": (
        lambda: example_record(protocol={"name": "custom", "warmup": 7, "steps": 29}),
        all_of(put("request.protocol", "auto"), put("request.warmup", "7"), put("request.steps", "29")),
    ),
    "here": (example_record, put("request.where", "here")),
    "in a container": (lambda: example_record(container=CONTAINER), put("request.where", "container")),
    "options that were asked for, with an engine's own": (engine, put("request.options", "sym:true")),
    "a step that the datasheet forbids, in an invalid session": (
        example_record,
        put("passes.wall.steps_ms", times(0.01)),
    ),
    "as many kernels as the pass has in the mean": (
        example_record,
        all_of(put("kernels.-1.count", 701.0), put("passes.busy.kernels.0", 871)),
    ),
    "25 rows of a longer table": (
        example_record,
        all_of(
            rows(200.0, 1.0, **MANY_ROWS),
            products(999.0),
            put("actual.kernel_names", ["nvjet_9"]),
            put("passes.busy.kernels", [900] * 30),
        ),
    ),
    "a name whose row may be among the others": (example_record, put("actual.kernel_names", ["memset", "nvjet_9"])),
    "a more telling backend among the others": (example_record, put("actual.attention_backend", "cudnn")),
    "as many products as matrices": (example_record, products(196.0)),
    "as few products as the rows": (example_record, all_of(SHOWN_AS, products(312.971))),
    "as many products as the rows": (example_record, all_of(SHOWN_AS, products(813.029))),
    "an engine that launches few graphs": (engine, put("actual.graph_launches_per_step", 5e-4)),
    "the vocabulary's first and last token": (
        example_record,
        tokens(*[([0, 152_063], [0.0, 0.0], [4.5, 5.0])] * 3),
    ),
    "a token that another pass chose one step later": (
        example_record,
        tokens(([5], [0.0], [4.5, 2.0]), ([5, 5], [0.0, 2.0], [4.5, 2.0]), ([5], [0.0], [4.5, 2.0])),
    ),
    "a token of a session whose logits are not finite": (
        example_record,
        all_of(
            not_finite,
            *(
                put(f"gate.tokens.{each}.{series}", [value] * 30)
                for each in range(3)
                for series, value in (
                    ("chosen", -1),
                    ("regrets", gaterules.NOT_FINITE),
                    ("repeats", gaterules.NOT_FINITE),
                )
            ),
        ),
    ),
    "a not finite error of trusted eager alone": (
        example_record,
        all_of(not_finite, put("gate.checks.0.errors", [0.01] * 32)),
    ),
    "logits other than eager's": (
        committed,
        all_of(likeness("equal", 3, False), likeness("differences", 3, 1e-3), likeness("same_token", 3, False)),
    ),
    **{f"the flag {flag}": (example_record, put("given_flags", [flag])) for flag in ("other-tree", "shared-host")},
    "the flag converted": (of_checkpoint, put("given_flags", ["converted"])),
    "the flag unpinned": (of_hub, put("given_flags", ["converted", "unpinned"])),
    "the flag shared-card": (example_record, put("given_flags", ["shared-card"])),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    found = make()
    edit(found)
    assert recompute.differences(derived_again(found)) == []


def test_a_session_that_ends_before_it_began_is_named_once():
    found = example_record()
    put("session.finished_ms", 1)(found)
    assert recompute.differences(found) == ["session.finished_ms: before session.started_ms"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (put("valid", False), "valid: False stored, True derived"),
        (put("reasons", ["tired"]), "reasons: ['tired'] stored, [] derived"),
        (put("flags", ["tired"]), "flags: ['tired'] stored, [] derived"),
        (put("floor.r_floor", None), "floor.r_floor: None stored, 0."),
        (put("latency.step_wall_ms", times(1 + 2e-9)), "latency.step_wall_ms: 36.0000000"),
        (put("latency.step_wall_ms", times(1 - 2e-9)), "latency.step_wall_ms: 35.9999999"),
    ],
)
def test_what_does_not_follow_from_the_rest_is_named(edit, line):
    found = copy.deepcopy(right(example_record))
    edit(found)
    (said,) = recompute.differences(found)
    assert said.startswith(line)


@pytest.mark.parametrize("factor", [1 + 5e-10, 1 - 5e-10])
def test_a_number_may_be_off_by_rounding(factor):
    found = copy.deepcopy(right(example_record))
    put("latency.step_wall_ms", times(factor))(found)
    assert recompute.differences(found) == []


def test_a_profile_whose_steps_all_are_too_busy_is_named_once():
    found = copy.deepcopy(right(example_record))
    put("passes.busy.steps_ms", times(10))(found)
    said = [one for one in recompute.differences(derived_again(found)) if one.startswith("passes.busy: kernels ran")]
    assert len(said) == 1


def test_one_difference_has_no_more(tmp_path):
    found = example_record()
    put("flags", ["tired"])(found)
    record.write(found, tmp_path / "r.json")
    with pytest.raises(BadRecord, match=r"r.json: flags: \['tired'\] stored, \[\] derived$"):
        recompute.read_verified(tmp_path / "r.json")


def test_a_record_under_another_sessions_name_is_refused(tmp_path):
    found = example_record()
    path = tmp_path / file_name(found)
    record.write(found, path)
    assert recompute.read_verified(path) == read.from_file(path)
    with pytest.raises(BadRecord, match="the file name does not match the cell and session of the content"):
        recompute.read_verified(path.rename(tmp_path / path.name.replace("eager", "graph")))
