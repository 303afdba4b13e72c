"""Readings of a card's energy: their source, their times and how a stretch is filled."""

import pytest

from runner.machine import nvml
from runner.record import energy as rules
from runner.record.energy import Grain
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, Readings
from runner.worker import readings
from runner.worker.readings import Log, Source, Unavailable, source_of
from tests.fakes.energy import IDLE_W, READING_S, Meter
from tests.fakes.pynvml_fake import FIRST

COUNTING = ("nvmlDeviceGetTotalEnergyConsumption",)


@pytest.fixture
def logged(monkeypatch):
    """A function that makes a meter, and a log of its card with NVML open."""
    with monkeypatch.context() as patch:
        stack = []

        def make(**card):
            meter = Meter(**card)
            meter.install(patch, readings)
            opened = nvml.opened(FIRST)
            stack.append(opened)
            card_ = opened.__enter__()
            return meter, Log(card_, source_of(card_))

        yield make
        for opened in reversed(stack):
            opened.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("unsupported", "name", "value"), [((), COUNTER, 123_456_000), (COUNTING, POWER_SAMPLES, 71.25)]
)
def test_a_counter_is_preferred_to_power(logged, unsupported, name, value):
    _, log = logged(unsupported=unsupported)
    assert log.source.name == name
    assert log.source.value() == pytest.approx(value, rel=1e-6)


def test_a_source_that_falls_silent_is_said():
    with pytest.raises(Unavailable, match="the card has stopped reporting its energy"):
        Source(COUNTER, lambda: None).value()


def test_readings_begin_at_the_first_one():
    counter, power = Source(COUNTER, lambda: 0), Source(POWER_SAMPLES, lambda: 0.0)
    assert counter.readings([5.0, 5.5], [900, 1_000]) == Readings(at_s=(0.0, 0.5), counter_mj=(0, 100))
    assert power.readings([5.0, 5.1234567], [70.0, 80.0]) == Readings(at_s=(0.0, 0.123457), power_w=(70.0, 80.0))


def test_work_goes_on_between_readings_until_it_is_enough(logged):
    meter, log = logged()
    worked = []

    def work():
        worked.append(meter.now_s)
        meter.idle(0.1)

    log.fill(work, Grain(COUNTER, 0.0, 0.02), lambda found: rules.seconds(found) >= 2.0)
    # a reading each 0.5 s, and work of 0.1 s five times before it
    assert len(log.at_s) == 5
    assert len(worked) == 20
    assert rules.joules(log.readings()) == pytest.approx(2 * IDLE_W, rel=0.02)
    assert log.reading_s == pytest.approx(4 * READING_S)  # without the first, with which it begins


def test_a_stretch_has_its_longest_time(logged):
    meter, log = logged()
    with pytest.raises(
        Unavailable, match=r"60 s were too short: .* J in 30\d\d updates with an error of 0\.1 %; needed"
    ):
        log.fill(lambda: meter.idle(0.25), Grain(COUNTER, 0.01, 0.02), lambda _found: False)


def test_a_stretch_has_the_reasons_of_every_reading_once(logged):
    meter, log = logged()
    for mask in (0x4, 0x0, 0x5):
        meter.card.throttle_mask = mask
        log.take()
    stretch = log.stretch()
    assert stretch["throttle_reasons"] == ("gpu_idle", "sw_power_cap")
    assert stretch["sm_clock_mhz"] == (1980, 1980, 1980)


def test_a_clock_that_was_missing_once_has_no_mean(logged):
    meter, log = logged()
    log.take()
    meter.card.unsupported = ("nvmlDeviceGetClockInfo",)
    log.take()
    assert log.stretch()["sm_clock_mhz"] == log.stretch()["memory_clock_mhz"] == ()
