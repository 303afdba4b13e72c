"""What makes a session invalid, and what only marks it."""

import math

import pytest

from runner import registry
from runner.cell.jsonform import to_json
from runner.machine import nvml
from runner.record import bounds, gaterules, judgement
from runner.record.flags import FLAG_MEANINGS
from tests.support.derive import derive, judge, typed
from tests.support.energies import energy_record, power_record
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1, packed_record


def judged(found):
    judge(found)
    return found


def test_an_error_above_the_bound_is_invalid():
    found = example_record()
    found["gate"]["checks"][-1]["errors"] = [found["gate"]["bound"] * 1.01]
    assert not judged(found)["valid"]


def test_a_trusted_error_above_the_cap_is_invalid():
    found = example_record()
    found["gate"]["trusted_error"] = found["gate"]["cap"] * 1.01
    assert not judged(found)["valid"]


@pytest.mark.parametrize(
    ("how", "dtype", "said"),
    [
        ("stored", "fp16", "w holds NaN: fetch or make the checkpoint again"),
        ("converted", "fp16", "w is finite in the checkpoint, and holds NaN in fp16: choose dtype=bf16 or fp32"),
        ("converted", "bf16", "w is finite in the checkpoint, and holds NaN in bf16"),
        ("dequantised", "bf16", "w is finite as it is packed, and holds NaN once dequantised to bf16"),
        (None, "bf16", "every weight is finite, and activations go beyond bf16"),
    ],
)
def test_logits_that_are_not_finite_have_one_reason_that_names_the_cause(how, dtype, said):
    found = example_record(cell={"dtype": dtype})
    for check in found["gate"]["checks"]:
        check["errors"] = check["trusted"] = [gaterules.NOT_FINITE] * len(check["errors"])
    found["gate"]["timed_trusted"] = [gaterules.NOT_FINITE] * 30
    found["gate"]["not_finite"] = {"tensor": how and "w", "value": how and "NaN", "how": how}
    derive(found)
    assert judged(found)["reasons"] == [f"logits are not finite: {said}"]


def test_a_timed_step_that_alone_is_not_finite_is_named_by_its_passes():
    found = example_record()
    for check in found["gate"]["checks"]:
        if check["name"] in ("wall", "busy"):
            check["errors"] = [gaterules.NOT_FINITE]
    found["gate"]["not_finite"] = {"tensor": None, "value": None, "how": None}
    derive(found)
    said = "every weight is finite, and so are trusted eager's logits: the step that is timed is at fault (wall, busy)"
    assert judged(found)["reasons"] == [f"logits are not finite: {said}"]


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
        (lambda r: r["passes"]["wall"].update(other_cpu_cores=4.0), "disturbed"),  # of 16
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


def with_errors(found, error, trusted):
    for check in found["gate"]["checks"]:
        check["trusted"] = [trusted] * len(check["trusted"])
        check["errors"] = [error] * len(check["errors"])
    derive(found)
    return judged(found)


@pytest.mark.medium
def test_errors_may_be_a_little_more_than_trusted_eagers_and_no_more():
    """bf16: 1.017 · exp(5 · 0.05 / √n) is 1.0493 over all 64 positions, 1.0629 over 32 of a place, 1.306 for each."""
    assert with_errors(example_record(), 0.020985, 0.02)["valid"]
    assert with_errors(example_record(), 0.0210, 0.02)["reasons"] == [
        "gate both: logit errors are 1.05 times trusted eager's (geometric mean of 64 positions), limit 1.05"
    ]
    found = with_errors(example_record(), 0.0214, 0.02)
    assert found["reasons"] == [
        f"gate {name}: logit errors are 1.07 times trusted eager's (geometric mean of {count} positions), limit {most}"
        for name, count, most in (("short", 32, 1.06), ("ctx", 32, 1.06), ("both", 64, 1.05))
    ]
    assert found["gate"]["ratio"] == pytest.approx(1.07)
    assert found["gate"]["bound"] == pytest.approx(0.02 * 1.3058, rel=1e-4)


def test_no_position_hides_in_the_mean():
    found = example_record()
    found["gate"]["checks"][1]["errors"][3] = 0.0118 * 1.31
    (reason,) = judged(found)["reasons"]
    assert reason.startswith("gate ctx: logit error 0.0155 exceeds the bound 0.0154")


def test_the_cap_holds_whatever_trusted_eager_errs_by():
    assert with_errors(example_record(), 0.099, 0.099)["valid"]
    assert with_errors(example_record(), 0.1001, 0.099)["reasons"][0] == (
        "gate short: logit error 0.1 exceeds the bound 0.1"
    )


@pytest.mark.medium
def test_a_path_coarser_than_its_dtype_is_flagged_within_its_own_ratio():
    """Over 64 positions awq/marlin may reach 1.344 · exp(5 · 0.052 / √64) = 1.388, fp16 alone 1.044."""
    found = with_errors(packed_record("awq", "marlin"), 0.00138, 0.001)
    assert found["valid"], found["reasons"]
    assert found["flags"] == ["imprecise"]
    assert "imprecise" in FLAG_MEANINGS
    assert with_errors(packed_record("awq", "marlin"), 0.00104, 0.001)["flags"] == []
    assert not with_errors(packed_record("awq", "marlin"), 0.00139, 0.001)["valid"]


def spread_errors(found, ratio, spread):
    """Errors of every second position `spread` above `ratio` in the logarithm, of the others as much below."""
    for check in found["gate"]["checks"]:
        factors = [ratio * math.exp(spread if index % 2 else -spread) for index in range(len(check["errors"]))]
        check["errors"] = [right * factor for right, factor in zip(check["trusted"], factors, strict=True)]
    derive(found)
    return judged(found)


@pytest.mark.medium
def test_a_checkpoint_is_held_to_the_spread_that_its_session_shows():
    """±0.4 in the logarithm over 32 positions is a standard deviation of 0.406: 1.017 · exp(5 · 0.406 / √32) = 1.456,
    and 1.017 · exp(5 · 0.403 / √64) = 1.309 over all 64."""
    checkpoint = {"cell": {"weights_id": "content-0123456789abcdef"}}
    assert spread_errors(example_record(**checkpoint), 1.30, 0.4)["valid"]
    (reason,) = spread_errors(example_record(**checkpoint), 1.32, 0.4)["reasons"]
    assert reason == (
        "gate both: logit errors are 1.32 times trusted eager's (geometric mean of 64 positions), limit 1.31"
    )
    # synthetic weights have the stated 0.05, and what scatters more is wrong
    assert not spread_errors(example_record(), 1.0, 0.4)["valid"]


def test_a_position_that_both_places_share_counts_once():
    """At ctx 17 the two places are one: 1.0625 is within the 1.0629 of 32 positions, and beyond the 1.0493 of 64."""
    found = with_errors(example_record(cell={"ctx": 17}), 0.02125, 0.02)
    assert found["valid"], found["reasons"]


@pytest.mark.medium
def test_the_spread_of_a_checkpoint_counts_up_to_a_limit():
    """What scatters by 1.0 is held to 1.017 · exp(5 · 0.75 / √64) = 1.625 over all 64."""
    checkpoint = {"cell": {"weights_id": "content-0123456789abcdef"}}
    assert spread_errors(example_record(**checkpoint), 1.62, 1.0)["valid"]
    assert not spread_errors(example_record(**checkpoint), 1.63, 1.0)["valid"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda gate: gate["tokens"][0]["regrets"].__setitem__(4, 0.085),
            "gate wall: 1 of 30 timed steps chose a token",
        ),
        (lambda gate: gate["rows"][1].update(unwritten=2), "gate span: the cache rows of 2 timed steps were not"),
        (lambda gate: gate["rows"][2].update(of_tensor=0.51), "gate rate: cache rows of one tensor differ from the"),
        (lambda gate: gate["timed_trusted"].__setitem__(28, 0.11), "trusted eager's error 0.11 exceeds the cap 0.1"),
        (lambda gate: gate["rows"][2].update(difference=0.11), "gate rate: cache rows differ from the first pass's by"),
        (lambda gate: gate["tokens"][0].update(repeats=[0.0] * 30), "gate tokens: at 33% of the timed steps the token"),
    ],
)
def test_each_timed_step_must_be_right(change, reason):
    """A token may be below the best by 7 · 1.017 · 0.0118 = 0.084."""
    found = example_record()
    change(found["gate"])
    (said,) = judged(found)["reasons"]
    assert said.startswith(reason)


def test_a_session_of_gate_version_1_is_judged_by_its_own_rules():
    found = of_gate_version_1(example_record())
    assert found["valid"]
    assert found["gate"]["bound"] == 3 * 0.0118
    for check in found["gate"]["checks"]:
        check["errors"] = [0.035] * len(check["errors"])  # three times trusted eager's
    derive(found)
    assert judged(found)["valid"]
    found["gate"]["checks"][0]["errors"][0] = 0.036
    assert judged(found)["reasons"] == ["gate short: logit error 0.036 exceeds the bound 0.0354"]


def test_a_coarse_path_of_gate_version_1_is_flagged_within_its_own_noise():
    found = of_gate_version_1(packed_record(runtime="exllamav2"))
    found = with_errors(found, 0.039, 0.003)
    assert found["gate"]["bound"] == 0.04  # 3 · 0.003 = 0.009 is under the noise
    assert (found["valid"], found["flags"]) == (True, ["imprecise"])
    assert not with_errors(found, 0.041, 0.003)["valid"]


def test_each_path_has_the_bounds_that_are_committed_for_it():
    """A path without a ratio of its own has its dtype's."""
    plain = bounds.cell_bounds("fp16", "graph", "bf16", "cublas", 3584)
    assert plain == {
        "gate_version": 2,
        "cap": 0.02,
        "regret_limit": 7,
        "stated_ratio": 1.02,
        "stated_spread": 0.038,
        "checkpoint_spread": 0.0,
        "dtype_ratio": 1.02,
        "dtype_spread": 0.038,
    }
    coarse = {"stated_ratio": 2.352, "stated_spread": 0.063}
    assert bounds.cell_bounds("fp16", "graph", "gptq", "exllamav2", 3584) == plain | coarse
    engine = {"stated_ratio": 6.828, "stated_spread": 0.032}
    assert bounds.cell_bounds("fp16", "exllamav2", "gptq", "exllamav2", 3584) == plain | engine
    narrow = {"stated_spread": 0.11, "dtype_spread": 0.11}
    assert bounds.cell_bounds("fp16", "graph", "bf16", "cublas", 896) == plain | narrow
    assert bounds.version_1_bounds("fp16", "exllamav2", "gptq", "exllamav2") == {"cap": 0.02, "noise": 0.04}
    assert bounds.version_1_bounds("fp16", "graph", "gptq", "exllamav2") == {"cap": 0.02, "noise": 0.03}
    others = {name for name in registry.kernel_names() if name != "exllamav2"}
    assert all(bounds.version_1_bounds("fp16", "graph", "gptq", name)["noise"] == 0.002 for name in others)


@pytest.mark.parametrize(("cores", "disturbed"), [(3.99, False), (4.0, True)])
def test_a_quarter_of_the_hosts_cores_disturbs(cores, disturbed):
    found = example_record()
    found["passes"]["wall"]["other_cpu_cores"] = cores
    assert ("disturbed" in judged(found)["flags"]) is disturbed
    assert "host-busy" in found["flags"]


def test_a_record_of_before_there_was_that_limit_is_not_asked():
    found = example_record()
    found["passes"]["wall"]["other_cpu_cores"] = 16.0
    del found["limits"]["disturbed_share"]
    assert judged(found)["flags"] == ["host-busy"]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (lambda r, more: r["passes"]["wall"].update(other_cpu_cores=0.51 if more else 0.5), "host-busy"),
        (lambda r, more: r["latency"].update(drift=0.0501 if more else 0.05), "drifting"),
        (lambda r, more: r["latency"].update(drift=-0.0501 if more else -0.05), "drifting"),
        (lambda r, more: r["floor"].update(r_floor_achievable=1.021 if more else 1.02), "probe-low"),
        (lambda r, more: r["snapshots"]["after"].update(other_processes=int(more)), "shared-card"),
        (lambda r, more: r["snapshots"]["before"].update(other_processes=int(more)), "shared-card"),
    ],
)
def test_a_flag_is_raised_beyond_its_limit_and_not_at_it(change, flag):
    for more in (False, True):
        found = example_record()
        change(found, more)
        assert (flag in judged(found)["flags"]) is more


HARMLESS = ("gpu_idle", "applications_clocks_setting", "display_clock_setting")
THROTTLING = sorted({*nvml.THROTTLE_REASONS.values(), "unknown_0x200"} - {*HARMLESS})


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("reason", "throttled"), [*((one, True) for one in THROTTLING), *((one, False) for one in HARMLESS)]
)
def test_each_throttle_reason_counts_at_either_end(moment, reason, throttled):
    found = example_record()
    found["snapshots"][moment]["throttle_reasons"] = ["gpu_idle", reason]
    assert ("throttled" in judged(found)["flags"]) is throttled


@pytest.mark.parametrize("name", ["wall", "span", "rate", "busy"])
@pytest.mark.parametrize(
    ("count", "said"),
    [
        ("collected", "2 garbage collections inside the {} window"),
        ("compiled", "2 compilations inside the {} window"),
        ("captured", "2 captures of CUDA graphs inside the {} window"),
        ("segments", "2 driver allocations inside the {} window"),
    ],
)
def test_nothing_may_happen_inside_any_window(name, count, said):
    found = example_record()
    found["passes"][name][count] = 2
    assert judged(found)["reasons"] == [said.format(name)]
    found["passes"][name][count] = 1
    assert not judged(found)["valid"]


def test_joules_from_samples_of_power_are_flagged():
    assert power_record()["flags"] == ["power-samples"]
    assert energy_record()["flags"] == []


def test_nothing_may_happen_while_energy_is_measured():
    found = energy_record()
    found["energy"]["steps"]["captured"] = 2
    assert judged(found)["reasons"] == ["2 captures of CUDA graphs inside the energy window"]
    growing = energy_record(cell={"cache": "dynamic"})
    growing["energy"]["steps"]["segments"] = 1
    assert (judged(growing)["valid"], growing["flags"]) == (True, ["driver-allocations"])


@pytest.mark.parametrize("name", ["span", "rate", "busy", "revisit"])
def test_an_allocation_of_a_growing_cache_is_flagged_in_whichever_window(name):
    found = example_record(cell={"cache": "dynamic"})
    found["passes"][name]["segments"] = 1
    assert (judged(found)["valid"], found["flags"]) == (True, ["driver-allocations"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r, more: r["memory"].update(verify_extra_bytes=10**9 + more), "verify took 1000000001 bytes over"),
        (lambda r, more: r["floor"].update(r_floor=1.0201 if more else 1.02), "r_floor 1.020 is impossible"),
        (lambda r, more: r["bytes"].update(weights_measured=r["bytes"]["weights"] - more), "weights take 15231233023"),
        (lambda r, more: r["bytes"].update(weights_measured=r["bytes"]["weights"] + more), "weights take 15231233025"),
        (lambda r, more: r["memory"]["held_bytes"]["step"].update(allocator=2 * 10**10 if more else 0), "200000"),
    ],
)
def test_a_limit_is_kept_and_not_passed(change, reason):
    found = example_record()
    change(found, 0)
    assert judged(found)["valid"]
    change(found, 1)
    (said,) = judged(found)["reasons"]
    assert said.startswith(reason)


def test_the_limits_are_those_that_the_methodology_states():
    assert to_json(judgement.LIMITS) == {
        "r_floor": 1.02,
        "drift": 0.05,
        "other_cpu_cores": 0.5,
        "disturbed_share": 0.25,
        "passes_disagreement": 0.1,
        "energy_disagreement": 0.05,
        "verify_extra_bytes": 10**9,
    }


def test_others_are_compared_with_the_cores_of_this_host():
    found = example_record(host={"cores": 64})
    found["passes"]["wall"]["other_cpu_cores"] = 15.9
    assert judged(found)["flags"] == ["host-busy"]
    found["passes"]["wall"]["other_cpu_cores"] = 16.0
    assert judged(found)["flags"] == ["disturbed", "host-busy"]


def test_only_what_the_cache_cannot_hold_must_be_read():
    found = example_record()
    found["gpu"] |= {"bandwidth_gbs": 1000, "last_level_cache_bytes": 10**9}
    assert judgement.least_ms(typed(found), 3e9) == pytest.approx(2.0 / 1.02)
    assert judgement.least_ms(typed(found), 0.5e9) == 0.0
    found["gpu"]["last_level_cache_bytes"] = None
    assert judgement.least_ms(typed(found), 3e9) == pytest.approx(3.0 / 1.02)
    found["gpu"]["bandwidth_gbs"] = None
    assert judgement.least_ms(typed(found), 3e9) is None


def test_a_read_probe_of_few_bytes_without_a_cache_takes_their_whole_time():
    """1000 bytes at 1000 GB/s are 1 ns."""
    found = example_record()
    found["gpu"] |= {"bandwidth_gbs": 1000, "last_level_cache_bytes": None}
    assert judgement.least_ms(typed(found), 1000.0) == pytest.approx(1e-6 / 1.02)


@pytest.mark.parametrize(("more", "in_cache"), [(-1, True), (0, True), (1, False)])
def test_weights_as_large_as_the_cache_fit_into_it(more, in_cache):
    found = example_record()
    found["gpu"]["last_level_cache_bytes"] = found["bytes"]["weights"] - more
    assert judgement.fits_in_cache(typed(found)) is in_cache


def with_rate(rate_ms):
    """A session whose steps take 10 ms by each clock, but for the pass without read-back."""
    found = example_record()
    for name, series in (("wall", "steps_ms"), ("span", "steps_ms"), ("busy", "span_ms")):
        found["passes"][name][series] = [10.0] * 30
    found["passes"]["rate"]["total_ms"] = 30 * rate_ms
    found["flags"] = ["unpinned", "drifting"]
    return found


# (10 - 9) / 10 is the limit, 0.1
@pytest.mark.parametrize(("rate_ms", "disagree"), [(10.0, False), (9.0, False), (8.99, True), (11.01, True)])
def test_passes_disagree_beyond_a_tenth(rate_ms, disagree):
    found = with_rate(rate_ms)
    assert ("passes-disagree" in judgement.flags(typed(found))) is disagree
    # a record of the flag's time displays what it has; an older one has it added
    assert judgement.displayed_flags(typed(found)) == ["drifting", "unpinned"]
    del found["limits"]["passes_disagreement"]
    added = ["passes-disagree"] if disagree else []
    assert judgement.displayed_flags(typed(found)) == ["drifting", *added, "unpinned"]
    assert "passes-disagree" not in judgement.flags(typed(found))


def test_a_session_with_one_clock_has_no_passes_that_disagree():
    assert "passes-disagree" not in judgement.flags(typed(cpu_record()))
    failed = failed_record()
    failed["flags"] = ["unpinned", "drifting"]
    assert judgement.displayed_flags(typed(failed)) == ["drifting", "unpinned"]


EQUAL = {"equal": [True, True], "differences": [0.0, 0.0], "same_token": [True, True]}
OTHER_BITS = EQUAL | {"equal": [True, False], "differences": [0.0, 1e-4]}
OTHER_TOKEN = EQUAL | {"same_token": [True, False]}
DETERMINISTIC = (
    "steps have other logits than eager's (by {}), though cublas and flash attention are deterministic".format
)
UNDECIDED = 7 * 1.017 * 0.0118  # the margin under which two right paths may choose different tokens


def likeness(name="ctx", **changes):
    plain = {"name": name, "positions": [17, 18], "repeats": [0.0, 0.0], "margins": [9.0, 9.0]}
    return plain | EQUAL | changes


def reasons_beside_eager(*likenesses, runtime="graph", attention="flash", make=example_record, **gate):
    found = make()
    found["cell"]["runtime"], found["actual"]["attention_backend"] = runtime, attention
    found["gate"] |= {"eager": list(likenesses), **gate}
    return [reason for reason in judgement.reasons(typed(found)) if reason.startswith("eager ")]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (EQUAL, []),
        (OTHER_BITS, [f"eager ctx: 1 of 2 {DETERMINISTIC(0.0001)}"]),
        (OTHER_TOKEN, [f"eager ctx: 0 of 2 {DETERMINISTIC(0)}"]),
    ],
)
def test_a_replay_of_deterministic_kernels_has_eagers_bits(found, said):
    assert reasons_beside_eager(likeness(**found)) == said


@pytest.mark.medium
@pytest.mark.parametrize("place", [{"attention": "cudnn"}, {"make": lambda: packed_record()}])
def test_a_replay_of_other_kernels_stays_within_the_bound(place):
    """Neither cuDNN's attention nor the kernel of exllamav2 repeats its bits."""

    def reasons(**changes):
        return reasons_beside_eager(likeness(**{**EQUAL, **changes}), bound=0.015, trusted_error=0.01, **place)

    assert reasons(equal=[False, False], differences=[0.015, 0.01]) == []
    assert reasons(differences=[0.01, 0.0151]) == ["eager ctx: logits differ from eager's by 0.0151, bound 0.015"]
    (reason,) = reasons(same_token=[False, True])
    assert reason == "eager ctx: another token than eager's, though the reference's margin is too wide for rounding"


@pytest.mark.medium
def test_kernels_of_its_own_may_differ_where_the_reference_is_undecided():
    def reasons(margins, same_token=(False, True)):
        found = likeness(equal=[False, False], differences=[0.5, 0.5], same_token=list(same_token), margins=margins)
        return reasons_beside_eager(found, runtime="compile", trusted_error=0.0118)

    assert reasons([0.999 * UNDECIDED, 9.0]) == []
    (reason,) = reasons([1.001 * UNDECIDED, 0.0])
    assert reason.endswith("margin is too wide for rounding")
    assert len(reasons([0.0, 1.001 * UNDECIDED], (False, False))) == 1
    assert reasons([9.0, 9.0], (True, True)) == []


def test_a_margin_of_exactly_the_limit_decides_and_version_1_names_its_own_limit():
    """2 · 0.25 = 0.5."""
    for margin, count in ((0.5, 1), (0.499, 0)):
        found = likeness(same_token=[True, False], margins=[0.0, margin])
        said = reasons_beside_eager(
            found, runtime="compile", make=lambda: of_gate_version_1(example_record()), bound=0.25
        )
        assert (
            said == ["eager ctx: another token than eager's, though the reference's margin is twice the bound"] * count
        )


def test_a_comparison_whose_error_is_explained_hides_no_other():
    broken = likeness("short", equal=[False] * 2, differences=[0.0, gaterules.NOT_FINITE])
    wrong = likeness("ctx", **OTHER_BITS)
    cause = {"not_finite": {"tensor": "w", "value": "NaN", "how": "stored"}}
    assert [line.partition(":")[0] for line in reasons_beside_eager(broken, wrong)] == ["eager short", "eager ctx"]
    assert [line.partition(":")[0] for line in reasons_beside_eager(broken, wrong, **cause)] == ["eager ctx"]
