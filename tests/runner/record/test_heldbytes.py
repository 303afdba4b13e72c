"""What a device may hold once a step is built, by hand, and what more makes of a session."""

import copy

import pytest

from runner.record import heldbytes
from tests.support.derive import derive, judge, typed
from tests.support.records import cpu_record, example_record, of_gate_version_1, packed_record

BASE, CAPTURE = 2**25, 2**27
# Qwen2.5-7B in float16 or bfloat16: 57 344 bytes of keys and values a position, 2112 positions allocated at ctx 2048
KV = 2112 * 57_344
SCRATCH = 2 * 18_944 * 3_584


def judged(found):
    derive(found)
    judge(found)
    return found


def holding(found, stage, **accounts):
    found["memory"]["held_bytes"][stage] |= accounts
    return judged(found)


def test_an_eager_step_by_hand():
    found = example_record()
    weights = found["bytes"]["weights"]
    loaded = weights + BASE
    assert heldbytes.allowed_bytes(typed(found)) == {"weights": loaded, "kernel": loaded, "step": loaded + KV}


def test_a_growing_cache_is_empty_when_the_step_is_built():
    found = example_record(cell={"cache": "dynamic"})
    assert heldbytes.allowed_bytes(typed(found))["step"] == found["bytes"]["weights"] + BASE


def test_a_kernels_scratch_and_a_captured_graph_by_hand():
    found = packed_record()
    found["cell"]["runtime"] = "graph"
    weights = found["bytes"]["weights"]
    assert heldbytes.allowed_bytes(typed(found)) == {
        "weights": weights + BASE,
        "kernel": weights + BASE + SCRATCH,
        "step": weights + BASE + SCRATCH + KV + CAPTURE,
    }


def test_an_engine_says_what_its_scratch_is():
    found = packed_record(runtime="exllamav2")
    before = heldbytes.allowed_bytes(typed(found))
    found["actual"]["settings"]["scratch_bytes"] = "1000000"
    assert heldbytes.allowed_bytes(typed(found))["step"] == before["step"] + 1_000_000
    assert before["kernel"] == found["bytes"]["weights"] + BASE  # its products are its own


@pytest.mark.parametrize("said", ["", "-5", "1.5", "many"])
def test_scratch_that_is_no_count_of_bytes_allows_nothing(said):
    found = packed_record(runtime="exllamav2")
    before = heldbytes.allowed_bytes(typed(found))
    found["actual"]["settings"]["scratch_bytes"] = said
    assert heldbytes.allowed_bytes(typed(found)) == before


def test_a_step_without_an_engine_has_no_scratch_whatever_its_record_says():
    found = example_record()
    before = heldbytes.allowed_bytes(typed(found))
    found["actual"]["settings"] = {"scratch_bytes": "1000000"}
    assert heldbytes.allowed_bytes(typed(found)) == before


@pytest.mark.parametrize("account", ["allocator", "device"])
@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("weights", "with the weights loaded (by the {}), accounted"),
        ("kernel", "with the kernel's layers made (by the {}), accounted"),
        ("step", "with the step built (by the {}), accounted"),
    ],
)
def test_two_percent_more_is_allowed_and_no_more(account, stage, said):
    most = int(1.02 * heldbytes.allowed_bytes(typed(example_record()))[stage])
    assert holding(example_record(), stage, **{account: most})["valid"]
    (reason,) = holding(example_record(), stage, **{account: most + 1})["reasons"]
    assert reason.startswith(f"{most + 1} bytes are held {said.format(account)} ")


@pytest.mark.medium
def test_a_packed_original_beside_its_copy_is_named():
    found = packed_record("awq", "marlin")
    weights = found["bytes"]["weights"]
    twice = {"allocator": 2 * weights, "device": 2 * weights}
    holding(found, "kernel", **twice)
    (reason,) = found["reasons"]
    assert reason.endswith(": a packed original is kept beside its repacked copy")


def test_the_devices_own_account_is_not_asked_where_others_were_on_the_card():
    found = example_record()
    found["snapshots"]["before"]["other_processes"] = 1
    assert holding(copy.deepcopy(found), "step", device=10**12)["reasons"] == []
    assert holding(found, "step", allocator=10**12)["reasons"] != []


@pytest.mark.parametrize(
    ("before", "after", "alone"), [(0, 0, True), (None, 0, True), (0, 1, False), (None, None, False)]
)
def test_the_devices_account_counts_where_nobody_else_was_seen(before, after, alone):
    found = example_record()
    found["snapshots"]["before"]["other_processes"], found["snapshots"]["after"]["other_processes"] = before, after
    assert bool(holding(found, "step", device=10**12)["reasons"]) is alone


def test_a_cpu_and_sessions_of_before_it_was_counted_have_none():
    for found in (cpu_record(), of_gate_version_1(example_record())):
        assert "held_bytes" not in found["memory"]
        assert list(heldbytes.reasons(typed(found))) == []


# Qwen2.5-7B at ctx 2048 on an H200, as four runtimes held it: after kernel and step, in bytes
SEEN = {
    ("eager", "static"): (15_277_388_800, 15_403_560_960),
    ("eager", "dynamic"): (15_277_388_800, 15_277_389_824),
    ("graph", "static"): (15_277_388_800, 15_438_773_248),
    ("compile", "static"): (15_277_388_800, 15_369_263_104),
}


@pytest.mark.parametrize(("runtime", "cache"), SEEN)
def test_what_sessions_held_lies_between_the_least_and_the_most(runtime, cache):
    found = example_record()
    found["cell"] |= {"runtime": runtime, "cache": cache}
    kernel, step = SEEN[runtime, cache]
    found["memory"]["held_bytes"]["kernel"]["allocator"] = kernel
    assert (
        heldbytes.required_bytes(typed(found))["step"] <= step <= 1.02 * heldbytes.allowed_bytes(typed(found))["step"]
    )
    assert heldbytes.required_bytes(typed(found))["kernel"] == found["bytes"]["weights"] <= kernel


def test_a_compiler_may_free_the_workspaces_that_were_held_before_a_tiny_model():
    found = example_record()
    found["cell"] |= {"runtime": "compile", "cache": "static"}
    found["bytes"]["weights"] = found["bytes"]["weights_measured"] = 1_800_000
    seen = -32_641_500  # a model of 1.8 MB on an H200
    assert heldbytes.required_bytes(typed(found))["step"] - KV <= seen
    found["cell"]["runtime"] = "graph"
    found["memory"]["held_bytes"]["kernel"]["allocator"] = 1_800_000
    assert heldbytes.required_bytes(typed(found))["step"] == 1_800_000 + KV


def test_the_least_of_a_static_cache_grows_with_the_context():
    found = example_record()
    before = heldbytes.required_bytes(typed(found))["step"]
    found["cell"]["ctx"] += 1024
    assert heldbytes.required_bytes(typed(found))["step"] == before + 1024 * 57_344


def test_an_engine_keeps_the_embedding_on_the_host_and_its_scratch_on_the_card():
    found = packed_record(runtime="exllamav2")
    found["actual"]["settings"]["scratch_bytes"] = "1000000"
    held = found["memory"]["held_bytes"]["kernel"]["allocator"]
    assert heldbytes.required_bytes(typed(found))["step"] == held - 152_064 * 3_584 * 2 + KV + 1_000_000


@pytest.mark.medium
def test_only_packed_weights_that_a_kernel_repacks_may_shrink():
    """A repacked copy takes at least 95 %; an engine, and weights that are not packed, hold all their bytes."""
    packed, of_engine, plain = packed_record("awq", "marlin"), packed_record(runtime="exllamav2"), example_record()
    for found, share in ((packed, 0.95), (of_engine, 1.0), (plain, 1.0)):
        weights = found["bytes"]["weights_measured"]
        required = heldbytes.required_bytes(typed(found))
        assert (required["weights"], required["kernel"]) == (weights, int(share * weights))


def test_a_compiled_step_holds_the_weights_less_what_the_compiler_freed():
    found = example_record()
    found["cell"] |= {"runtime": "compile", "cache": "static"}
    found["memory"]["held_bytes"]["kernel"]["allocator"] = 10**12  # of which nothing need be left
    assert heldbytes.required_bytes(typed(found))["step"] == found["bytes"]["weights"] - 40 * 2**20 + KV


def test_a_stage_may_hold_exactly_two_percent_more():
    found = example_record()
    found["bytes"]["weights"] = 10**9 - BASE
    held = found["memory"]["held_bytes"]
    held["weights"] = held["kernel"] = held["step"] = {"allocator": 1_020_000_000, "device": 0}
    assert list(heldbytes.reasons(typed(found))) == []
    found["memory"]["held_bytes"]["weights"] = {"allocator": 1_020_000_001, "device": 0}
    assert list(heldbytes.reasons(typed(found))) == [
        "1020000001 bytes are held with the weights loaded (by the allocator), accounted 1000000000"
    ]
