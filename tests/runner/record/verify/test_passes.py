"""The timed passes of a record and its table of kernels."""

import random

import pytest

from runner.record.sections.passes import OTHERS, BusyPass, KernelTime
from runner.record.verify import passes, recompute
from tests.support import cputime
from tests.support.derive import typed
from tests.support.edits import MANY_ROWS, all_of, derived_again, drop, products, put, rows, shorten, times
from tests.support.records import cpu_record, example_record
from tests.support.verify import (
    assert_named,
    assert_side,
    dynamic,
    lines_about,
    lines_with_given_keys,
    on_cpu,
    right,
    sides,
    tail,
    tail_long,
)


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


def busy_mean(over_ms):
    """The profiled steps are all so much longer than the rows' 3512.6 + 148.91 + 1208.4 us."""
    return put("passes.busy.steps_ms", [4.86991 + over_ms] * 30)


def long_kernel(spans):
    """One of the 841 kernels of a step takes so many of the longest profiled steps."""

    def edit(found):
        row = {"name": "long", "count": 1.0, "us": 1e3 * max(found["passes"]["busy"]["span_ms"]) * spans}
        found["kernels"][-1]["count"] -= 1
        found["kernels"].insert(0, row)

    return edit


def busy_step(share):
    """One profiled step was busy for so much of its span."""

    def edit(found):
        found["kernels"][-1]["us"] *= 10
        busy = found["passes"]["busy"]
        busy["steps_ms"][3] = busy["span_ms"][3] * share

    return edit


def span_of_floor(share):
    def edit(found):
        steps = found["passes"]["span"]["steps_ms"]
        found["passes"]["span"]["steps_ms"] = [step / 35.98 * found["floor"]["floor_ms"] * share for step in steps]

    return edit


def copy_window(source, target):
    def falsify(found):
        windows = found["passes"]["wall"]["windows_us"]
        windows[target] = list(windows[source])

    return falsify


def as_windows(found):
    """One window is stated in the form of several."""
    wall = found["passes"]["wall"]
    wall["windows_us"] = [[round(ms * 1e3) for ms in wall.pop("steps_ms")]]
    wall |= {"voluntary_switches": 1, "involuntary_switches": 1, "cpu_mhz": None}


def as_one_window(found):
    """Several windows are stated in the form of a single one."""
    wall = found["passes"]["wall"]
    wall["steps_ms"] = [us / 1e3 for us in wall.pop("windows_us")[0]]


# what is falsified in which record, and how the line begins that names it
LIES = [
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
    (example_record, put("kernels", []), "kernels: 0 rows"),
    (tail, put("passes.wall.steps_ms", shorten), "passes.wall.steps_ms: 299 steps, the protocol says 300"),
    (tail, put("passes.span.steps_ms", shorten), "passes.span.steps_ms: 29 steps, the protocol says 30"),
    (tail_long, put("passes.wall.windows_us", shorten), "passes.wall.windows_us: 9 windows, the protocol says 10"),
    (
        tail_long,
        put("passes.wall.windows_us.3", shorten),
        "passes.wall.windows_us[3]: 299 steps, the protocol says 300",
    ),
    (tail_long, put("passes.wall.cpu_mhz", shorten), "passes.wall.cpu_mhz: 9 windows, the protocol says 10"),
    (tail_long, put("passes.busy.kernels", shorten), "passes.busy.kernels: 29 steps, the protocol says 30"),
    (tail_long, drop("passes.wall.cpu_mhz"), "passes.wall: without cpu_mhz"),
    (
        tail_long,
        all_of(drop("passes.wall.voluntary_switches"), drop("passes.wall.involuntary_switches")),
        "passes.wall: without voluntary_switches, involuntary_switches",
    ),
    (
        example_record,
        put("passes.wall.voluntary_switches", 3),
        "passes.wall: without involuntary_switches, cpu_mhz",
    ),
    (example_record, as_windows, "passes.wall.windows_us: the protocol says 1 window"),
    (tail_long, as_one_window, "passes.wall.steps_ms: the protocol says 10 windows"),
    (
        tail_long,
        copy_window(0, 7),
        "passes.wall.windows_us[7]: the same steps as passes.wall.windows_us[0]",
    ),
    (
        tail_long,
        put("passes.wall.windows_us.7", lambda _: sorted(tail_long()["passes"]["wall"]["windows_us"][0])),
        "passes.wall.windows_us[7]: the same steps in another order as passes.wall.windows_us[0]",
    ),
    (
        tail_long,
        put("passes.span.steps_ms", lambda _: [us / 1e3 for us in tail_long()["passes"]["wall"]["windows_us"][2][:30]]),
        "passes.span: the same steps as passes.wall.windows_us[2]",
    ),
    (
        example_record,
        put("kernels", lambda rows: [*rows[:-1], {"name": "invented", "count": 1.0, "us": 1.0}, rows[-1]]),
        "kernels: 842 per step in all rows, but 841 in passes.busy",
    ),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "24 rows that do not add up": (
        example_record,
        all_of(rows(200.0, **MANY_ROWS), products(200.0), put("passes.busy.kernels", [300] * 30)),
        "kernels: 250 per step in all rows, but 300 in passes.busy",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a step that the datasheet forbids, in an invalid session": (
        example_record,
        put("passes.wall.steps_ms", times(0.01)),
    ),
    "as many kernels as the pass has in the mean": (
        example_record,
        all_of(put("kernels.-1.count", 701.0), put("passes.busy.kernels.0", 871)),
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


# how a record is made and edited, the values that are right, those that are not, and how the line begins
TOLERANCES = {
    # the 3 rows and the pass are rounded by 0.005 each
    "kernels in all rows": (
        example_record,
        lambda more: put("kernels.-1.count", 700 + more),
        [0.0195, -0.0195],
        [0.0205, -0.0205],
        "kernels: ",
    ),
    # by 0.005 us each, and a millionth of 4.87 ms
    "time in all rows": (example_record, busy_mean, [2.4e-5], [2.6e-5], "kernels: "),
    "one kernel in its step": (example_record, long_kernel, [1.004], [1.006], "kernels: "),
    "busy in a step": (example_record, busy_step, [1 + 5e-7], [1 + 2e-6], "passes.busy: kernels ran"),
    "speed of a pass": (example_record, span_of_floor, [1 / 1.015], [1 / 1.025], "passes.span: "),
}


SIDES = sides(TOLERANCES)


@pytest.mark.parametrize("side", SIDES)
def test_a_tolerance_has_two_sides(side):
    assert_side(*SIDES[side])


def many_windows(windows, steps, sigma_us):
    """Even steps around 36 ms in whole microseconds, as a CUDA graph has them."""
    draw = random.Random(0)
    found = cpu_record(protocol={"name": "custom", "steps": steps, "windows": windows})
    found["passes"]["wall"]["windows_us"] = [
        [round(draw.gauss(36_000, sigma_us)) for _ in range(steps)] for _ in range(windows)
    ]
    return found


@pytest.mark.medium
@pytest.mark.parametrize(("steps", "sigma_us"), [(3, 5.0), (10, 5.0), (20, 5.0), (30, 5.0), (300, 1.0)])
def test_honest_windows_are_no_copies_however_many_there_are(steps, sigma_us):
    assert lines_about(many_windows(200, steps, sigma_us), lambda _: None) == []


@pytest.mark.medium
def test_the_windows_of_a_long_session_are_compared_quickly():
    timed = typed(many_windows(400, 300, 5.0)).passes
    said, took_s = cputime.timed(lambda: list(passes._twin_differences(timed)))
    assert said == []
    assert took_s < 5.0  # 0.4 s on an idle machine, where comparing each with each took 16 s


@pytest.mark.medium
def test_the_middle_of_a_pass_is_held_against_the_floor():
    """One slow step hides nothing."""
    found = example_record()
    put("passes.span.steps_ms", times(0.01))(found)
    put("passes.span.steps_ms.-1", 300.0)(found)
    said = recompute.differences(derived_again(found))
    assert any(one.startswith("passes.span: 0.3598, less than the floor") for one in said), said


def test_a_profile_whose_steps_all_are_too_busy_is_named_once():
    found = right(example_record)
    put("passes.busy.steps_ms", times(10))(found)
    said = [one for one in recompute.differences(derived_again(found)) if one.startswith("passes.busy: kernels ran")]
    assert len(said) == 1


def busy_pass(steps_ms, span_ms, kernels):
    """A profiled pass of four steps that are alike."""
    return BusyPass(segments=0, compiled=0, steps_ms=(steps_ms,) * 4, span_ms=(span_ms,) * 4, kernels=(kernels,) * 4)


@pytest.mark.parametrize(("more", "said"), [(0.125, []), (0.126, ["kernels: 24.126 per step in all rows, but 24"])])
def test_counts_may_be_off_by_all_their_roundings_exactly(more, said):
    """24 rows and the pass: 25 · 0.005 = 0.125."""
    table = [*[KernelTime("k", 1.0, 10.0)] * 23, KernelTime("k", 1.0 + more, 10.0)]
    lines = list(passes._kernel_differences(table, busy_pass(0.2, 1.0, 24)))
    assert [line.partition(" in passes")[0] for line in lines] == said


@pytest.mark.parametrize("us", [2000.0, 2000.1])
def test_a_kernel_may_take_its_longest_step_exactly(us):
    """0.995 + 0.005 launches of at most 2 ms each, in the second of two rows."""
    table = [KernelTime("short", 0.005, 0.0), KernelTime("n" * 50, 0.995, us)]
    said = list(passes._kernel_differences(table, busy_pass(1.0, 2.0, 1)))
    line = f"kernels: {us:g} us of {'n' * 40} in 0.995 launches, longer than the longest step"
    assert said == ([] if us == 2000.0 else [line])


@pytest.mark.parametrize(("us", "is_enough"), [(999.989, True), (999.988, False)])
def test_rows_may_lack_their_roundings_of_the_busy_time_exactly(us, is_enough):
    """A row and the pass: 0.999989 + 2 · 0.005 / 1000 = 0.999999 ms, a millionth less than 1 ms."""
    said = list(passes._kernel_differences([KernelTime("k", 1.0, us)], busy_pass(1.0, 2.0, 1)))
    assert said == ([] if is_enough else ["kernels: 0.999988 ms in all rows, less than the busy time of 1 ms"])


def test_a_step_may_be_busy_for_its_span_and_a_millionth_exactly():
    assert list(passes._profile_differences(busy_pass(1.000001, 1.0, 1))) == []
    assert list(passes._profile_differences(busy_pass(1.0000011, 1.0, 1))) == [
        "passes.busy: kernels ran 1 ms of step 0, which took 1 ms"
    ]


@pytest.mark.parametrize(
    ("names", "complete"),
    [
        ([], False),
        (["k"], True),
        (["k"] * 24, True),
        (["k"] * 25, False),
        (["k"] * 24 + [OTHERS], True),
        ([OTHERS] + ["k"] * 24, False),
    ],
)
def test_a_table_is_complete_if_it_is_short_or_sums_up_the_rest_at_its_end(names, complete):
    assert passes.is_complete([KernelTime(name, 1.0, 1.0) for name in names]) is complete


def one_kernel(share):
    """Each step is one kernel that takes this share of its span."""

    def edit(found):
        busy = found["passes"]["busy"]
        busy["kernels"] = [1] * len(busy["span_ms"])
        busy["steps_ms"] = [share * span for span in busy["span_ms"]]

    return edit


def busy_as_spans(found):
    found["passes"]["busy"]["steps_ms"] = found["passes"]["busy"]["span_ms"]


def test_a_step_of_one_kernel_is_busy_for_its_whole_span():
    whole, shorter = (" ".join(lines_about(example_record(), one_kernel(share))) for share in (1.0, 0.9))
    assert "the one kernel of step" not in whole
    assert "passes.busy.span_ms: the same steps" not in whole
    assert "the one kernel of step 0 ran" in shorter


def test_busy_steps_of_many_kernels_are_not_the_spans():
    lines = lines_about(example_record(), busy_as_spans)
    assert "passes.busy.span_ms: the same steps as passes.busy" in lines
