"""What makes a session invalid, and what only marks it."""

import pytest

from runner import judgement, metrics, registry
from runner.store.description import FLAG_MEANINGS
from runner.worker import bounds
from tests.records import example_record

COARSE = {"cap": 0.02, "noise": 0.03}


def judged(found):
    judgement.judge(found)
    return found


def test_an_error_above_the_bound_is_invalid():
    found = example_record()
    found["gate"]["checks"][-1]["errors"] = [found["gate"]["bound"] * 1.01]
    assert not judged(found)["valid"]


def test_a_trusted_error_above_the_cap_is_invalid():
    found = example_record()
    found["gate"]["trusted_error"] = found["gate"]["cap"] * 1.01
    assert not judged(found)["valid"]


@pytest.mark.parametrize(("cache", "valid"), [("static", False), ("dynamic", True)])
def test_a_driver_allocation_invalidates_static_and_flags_dynamic(cache, valid):
    found = example_record(cell={"cache": cache})
    found["passes"]["wall"]["segments"] = 1
    assert judged(found)["valid"] is valid
    assert ("driver-allocations" in found["flags"]) is valid


def test_faster_than_memory_is_impossible_unless_the_weights_fit_in_cache():
    found = example_record()
    found["floor"]["r_floor"] = 1.03
    assert not judged(found)["valid"]
    found["gpu"]["last_level_cache_bytes"] = found["bytes"]["weights"]
    assert judged(found)["valid"]
    assert "in-cache" in found["flags"]


def test_weights_of_another_size_than_accounted_are_invalid():
    found = example_record()
    found["bytes"]["weights_measured"] += 2
    assert not judged(found)["valid"]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (lambda r: r["snapshots"]["after"].update(throttle_reasons=["sw_power_cap"]), "throttled"),
        (lambda r: r["snapshots"]["before"].update(other_processes=1), "shared-card"),
        (lambda r: r["latency"].update(drift=0.06), "drifting"),
        (lambda r: r["passes"]["wall"].update(other_cpu_cores=0.6), "host-busy"),
        (lambda r: r["floor"].update(r_floor_achievable=1.03), "probe-low"),
        (lambda r: r.update(given_flags=["unpinned"]), "unpinned"),
    ],
)
def test_flags_mark_and_do_not_invalidate(change, flag):
    found = example_record()
    assert flag not in judged(found)["flags"]
    change(found)
    assert flag in judged(found)["flags"]
    assert found["valid"]
    assert flag in FLAG_MEANINGS


def test_an_engine_coarser_than_its_dtype_is_flagged_within_its_own_noise():
    found = example_record()
    found["gate"] |= {"cap": 0.02, "noise": 0.04}
    for check in found["gate"]["checks"]:
        check["trusted"] = [0.003] * len(check["trusted"])
        check["errors"] = [0.019] * len(check["errors"])
    metrics.derive(found)
    judgement.judge(found)
    assert found["gate"]["bound"] == 0.04  # 3 · 0.003 = 0.009 is under the noise
    assert found["valid"]
    assert found["flags"] == ["imprecise"]
    assert "imprecise" in FLAG_MEANINGS
    for check in found["gate"]["checks"]:
        check["errors"] = [0.041] * len(check["errors"])
    metrics.derive(found)
    judgement.judge(found)
    assert not found["valid"]


def test_only_exllamav2s_engine_and_its_kernel_have_noise_of_their_own():
    assert bounds.of("fp16", "exllamav2", "exllamav2") == {"cap": 0.02, "noise": 0.04}
    assert bounds.of("fp16", "graph", "exllamav2") == bounds.of("fp16", "eager", "exllamav2") == COARSE
    others = {name for name in registry.kernel_names() if name != "exllamav2"}
    assert all(bounds.of("fp16", "graph", name) == bounds.of_dtype("fp16") for name in others)
    assert bounds.of_dtype("fp16") == {"cap": 0.02, "noise": 0.002}
