"""One measurement under two names is one."""

import json
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from runner.cli import program
from runner.errors import BadRecord
from runner.record import read, record, spool
from runner.record.verify import copies
from runner.record.verify.copies import Copies
from tests.support.derive import file_name
from tests.support.records import example_record, failed_record

ROOT = Path(__file__).parents[4] / "experiments"
FIRST = min((ROOT / "records" / "h100").glob("qwen2.5-7b-2048-bf16-graph-*.json"))


def differences(seen, name, found):
    """The lines of a record that is as right as one that was read."""
    return list(seen.differences(name, read.from_json(found, name)))


def copy_of(found, session="ffffffffffffffff"):
    copied = json.loads(json.dumps(found))
    copied["session"]["id"] = session
    return copied


def shuffled(steps):
    return random.Random(0).sample(steps, len(steps))


DISGUISES = {
    "under another id": list,
    "in another order": shuffled,
    "half of the steps changed": lambda steps: [step * (1, 1.001)[number % 2] for number, step in enumerate(steps)],
    "ten per cent faster": lambda steps: [round(step * 0.9, 6) for step in steps],
    "a nanosecond longer": lambda steps: [round(step + 1e-6, 6) for step in steps],
    "twice as slow, in another order": lambda steps: [step * 2 for step in shuffled(steps)],
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_copy_is_known_by_its_steps(disguise):
    seen, found = Copies(), record.read(FIRST)
    assert differences(seen, "one", found) == []
    copied = copy_of(found)
    copied["passes"]["wall"]["steps_ms"] = disguise(copied["passes"]["wall"]["steps_ms"])
    (line,) = differences(seen, "two", copied)
    assert line.startswith("passes.wall: the same steps")
    assert "as one, which is another session" in line


def steps(count, spread=0.01):
    """Around 1 ms, from the quickest to the slowest, no two alike."""
    return [1 + spread * (number / (count - 1) - 0.5) for number in range(count)]


def changed(series, share):
    """Another value in so much of the series, from its end."""
    kept = round(len(series) * (1 - share))
    return [*series[:kept], *(step + 0.1 * step**2 * number for number, step in enumerate(series[kept:], 1))]


def bent(by):
    """Steps of another shape: the slowest is so much slower."""
    series = steps(21)
    return [*series[:-1], series[-1] + by]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (steps(3), steps(3), "the same steps"),
        (steps(30), changed(steps(30), 0.5), "the same steps"),
        (steps(30), changed(steps(30), 0.6), None),
        (steps(30), steps(30)[:14], None),
        (steps(3), steps(3)[::-1][1:] + steps(3)[2:], "the same steps in another order"),
        (steps(20), [2 * step for step in steps(20)], "the same steps times a factor"),
        (steps(19), [2 * step for step in steps(19)], None),
        (steps(21, 1.01e-3), [2 * step for step in steps(21, 1.01e-3)], "the same steps times a factor"),
        (steps(21, 0.99e-3), [2 * step for step in steps(21, 0.99e-3)], None),
        (steps(21), [2 * step for step in bent(0.9e-5)], "the same steps times a factor"),
        (steps(21), [2 * step for step in bent(1.1e-5)], None),
        (steps(21), [2 * step for step in steps(41)], None),
        ([0.0] * 30, [1.0] * 30, None),
    ],
)
def test_two_series_are_one_where_half_their_order_or_their_shape_is(ours, theirs, said):
    assert copies.likeness(ours, theirs) == copies.likeness(theirs, ours) == said


def test_a_short_series_in_another_order_is_known():
    seen, found = Copies(), example_record()
    found["passes"]["wall"]["steps_ms"] = [7.1, 7.2, 7.3]
    other = copy_of(found)
    other["passes"]["wall"]["steps_ms"] = [7.2, 7.3, 7.1]
    assert differences(seen, "one", found) == []
    assert differences(seen, "two", other) == [
        "passes.wall: the same steps in another order as one, which is another session"
    ]


def test_two_files_of_one_session_are_one():
    seen = Copies()
    assert differences(seen, "one", failed_record()) == []
    assert differences(seen, "two", failed_record()) == ["session 0f3c9a52b7d1e846 is also in one"]


def test_a_file_that_is_named_twice_is_no_copy_of_itself():
    seen, found = Copies(), example_record()
    assert [*differences(seen, "one", found), *differences(seen, "one", found)] == []


@pytest.mark.medium
def test_no_committed_session_is_taken_for_another():
    seen = Copies()
    for folder in ("records", "gate"):
        for path in spool.record_files(ROOT / folder):
            assert differences(seen, str(path), record.read(path)) == []


def test_a_session_that_is_three_steps_long_has_copies_too():
    seen, found = Copies(), example_record()
    found["passes"]["wall"]["steps_ms"] = found["passes"]["wall"]["steps_ms"][:3]
    assert differences(seen, "one", found) == []
    assert len(differences(seen, "two", copy_of(found))) == 1


@pytest.mark.medium
@pytest.mark.parametrize(
    ("count", "middle_ms", "sigma_ms", "clock_ms"),
    [(3, 7.5, 0.002, 1e-6), (3000, 0.2, 0.001, 1e-6), (30, 0.3, 0.001, 1e-4), (300, 36.0, 0.5, 1e-6)],
)
def test_honest_sessions_of_few_steps_many_short_ones_or_a_coarse_clock_are_no_copies(
    count, middle_ms, sigma_ms, clock_ms
):
    draw, seen = random.Random(0), Copies()
    for number in range(20):
        found = copy_of(example_record(), f"{number:016x}")
        steps = [round(draw.gauss(middle_ms, sigma_ms) / clock_ms) * clock_ms for _ in range(count)]
        found["passes"]["wall"]["steps_ms"] = steps
        assert differences(seen, str(number), found) == []


def in_us(draw, count, sigma_us):
    """Steps around 0.9 ms in whole microseconds."""
    return [round(draw.gauss(900, sigma_us)) / 1e3 for _ in range(count)]


@pytest.mark.parametrize("sigma_us", [0.2, 0.4, 0.6, 1.0, 5.0])
def test_even_steps_in_whole_microseconds_are_no_copies_though_many_are_equal(sigma_us):
    draw = random.Random(0)
    for _ in range(20):
        ours, theirs = in_us(draw, 300, sigma_us), in_us(draw, 300, sigma_us)
        ours[7] += 0.05  # one slow step, without which they would be too even to say
        assert copies.likeness(ours, theirs) is None
        assert copies.period(ours) is None
        if sigma_us >= 0.6:  # more even ones have hardly a step to tell them by
            assert copies.likeness(ours, [*ours[:200], *theirs[200:]]) == "the same steps"
            assert copies.period([*ours[:100]] * 3) == 100


def test_equal_steps_at_one_place_count_beyond_those_at_different_places():
    # two of four are equal at their place; of the 12 pairs of other places 6 are: (1/2 - 1/2) / (1 - 1/2)
    assert copies.agreement([1, 1, 2, 2], [1, 2, 2, 1]) == 0.0
    # all but one; of the 12 pairs of other places 2 are: (3/4 - 1/6) / (1 - 1/6)
    assert copies.agreement([1, 1, 2, 3], [1, 1, 2, 4]) == pytest.approx(0.7)
    assert copies.agreement([1, 2, 3], [1, 2, 3]) == 1.0
    assert copies.agreement([1, 1, 1], [1, 1, 1]) == 1.0
    assert copies.agreement([1, 2, 3, 4], [1, 2, 5, 6]) == 0.5
    assert copies.agreement([1, 2, 3, 4], [1, 2]) == 0.5


def test_verify_names_a_copy_and_a_name_that_is_another_sessions(tmp_path):
    found = copy_of(record.read(FIRST))
    shutil.copy(FIRST, tmp_path / FIRST.name)
    record.write(found, tmp_path / file_name(found))
    shutil.copy(FIRST, tmp_path / "renamed-0-0123456789abcdef.json")
    result = CliRunner().invoke(program, ["verify", str(tmp_path)])
    assert isinstance(result.exception, BadRecord)
    assert "2 of 3 files" in str(result.exception)
    assert "passes.wall: the same steps as" in result.output
    assert "the file name does not match the cell and session of the content" in result.output


@pytest.mark.parametrize(
    ("series", "period"),
    [
        (steps(10) * 3, 10),
        (steps(20) * 2, 20),  # 20 of 40 steps are as long as the one 20 before
        ([*steps(20), *steps(20)[:19]], None),  # 19 of 39
        ([*steps(20), *steps(20)[:10]], None),  # 10 of 30
        ([*steps(20)[:5], *steps(20), *steps(20)[5:]], None),  # 5 at a distance of 5, 15 at one of 20, and 15 of 40
        (steps(40), None),
        (steps(9) * 2, None),  # too short
        ([1.0] * 30, None),  # too even
    ],
)
def test_a_series_repeats_itself_where_half_of_its_steps_come_again(series, period):
    assert copies.period(series) == period


def of_steps(number, series):
    found = copy_of(example_record(), f"{number:016x}")
    found["passes"]["wall"]["steps_ms"] = list(series)
    return found


@pytest.mark.medium
@pytest.mark.parametrize(
    ("disguise", "kind_of_copy"),
    [
        (list, "the same steps"),
        (lambda series: series[::-1], "the same steps in another order"),
        (lambda series: [3 * step for step in series], "the same steps times a factor"),
        (
            lambda series: [3 * (step + 0.9e-5 * (step == series[-1])) for step in series],
            "the same steps times a factor",
        ),
        (
            lambda series: [3 * (step - 0.9e-5 * (step == series[-1])) for step in series],
            "the same steps times a factor",
        ),
        (lambda series: [3 * (step + 1.1e-5 * (step == series[-1])) for step in series], None),
        (lambda series: [3 * (step - 1.1e-5 * (step == series[-1])) for step in series], None),
    ],
)
@pytest.mark.parametrize("copied", range(3))
def test_a_copy_is_named_by_the_record_that_it_copies(copied, disguise, kind_of_copy):
    """The slowest step over the median is 1.005, 1.01 and 1.015."""
    seen, originals = Copies(), [steps(20, 0.01 * number) for number in (1, 2, 3)]
    for number, series in enumerate(originals):
        assert differences(seen, f"record {number}", of_steps(number, series)) == []
    said = [f"passes.wall: {kind_of_copy} as record {copied}, which is another session"] if kind_of_copy else []
    assert differences(seen, "copy", of_steps(9, disguise(originals[copied]))) == said
