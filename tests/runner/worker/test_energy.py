"""The pass that measures the energy of a step, over a pretended card whose counter advances with a pretended clock."""

import re
from dataclasses import replace
from functools import partial

import pynvml as real
import pytest

from runner.cell.fieldtypes import ABSENT
from runner.cell.protocol import Protocol
from runner.record import energy as rules
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, Energy, NoEnergy
from runner.worker import clocks, energy, readings
from runner.worker.progress import Clock
from tests.fakes.energy import IDLE_W, READING_S, RESTART_S, STEP_S, STEP_W, Meter, MeteredStep
from tests.fakes.pynvml_fake import FIRST

NO_COUNTER = ("nvmlDeviceGetTotalEnergyConsumption",)
PROTOCOL = Protocol("custom", 5, 10)


class Keeper:
    """Notes what it is to check."""

    def __init__(self):
        self.checked = []

    def check_repeated(self, name, tokens, before):
        self.checked.append((name, tokens, before))


class Session:
    """The pass of a job at ctx 64 with 5 warm-up and 10 timed steps: the positions 69 … 78."""

    def __init__(self, monkeypatch, job, meter, **installed):
        self.meter, self.keeper = meter, Keeper()
        self.step = MeteredStep(meter)
        self.driver = meter.install(monkeypatch, energy, readings, **installed)
        monkeypatch.setattr(clocks.windows.gc, "collect", lambda: 0)
        self.job = replace(job, protocol=PROTOCOL, device=replace(job.device, uuid=FIRST), energy=True)

    def measure(self):
        return energy.measure(self.step, self.keeper, self.job, Clock(1_000, 0.0))


@pytest.fixture
def session(monkeypatch, tiny_job):
    return partial(Session, monkeypatch, tiny_job)


def test_the_energy_of_a_step_is_that_of_the_card_while_steps_run(session):
    found = session(Meter()).measure()
    assert isinstance(found, Energy)
    assert found.source == COUNTER
    # 10 steps of 4 ms at 500 W and a restart of 1 ms at 100 W: 20.1 J in 41 ms, 2.01 J a step
    assert found.joules_per_token == pytest.approx(2.01, rel=0.01)
    # of which the idle card would have taken 41 ms · 100 W / 10 = 0.41 J
    assert found.joules_per_token_above_idle == pytest.approx(1.60, rel=0.015)
    assert found.idle.joules / found.idle.seconds == pytest.approx(IDLE_W, rel=0.01)


def test_resolution_and_interval_of_the_counter_are_measured(session):
    found = session(Meter(interval_s=0.1, resolution_mj=50)).measure()
    assert found.resolution_mj == 50
    assert found.update_interval_ms == pytest.approx(100, rel=0.05)
    assert len(found.changes.at_s) == rules.FEWEST_CHANGES + 1
    assert found.changes.counter_mj[0] == found.changes.at_s[0] == 0


@pytest.mark.parametrize(("interval_s", "least_s"), [(0.02, 4.0), (0.1, 20.0)])
def test_a_stretch_is_as_long_as_one_percent_needs(session, interval_s, least_s):
    found = session(Meter(interval_s)).measure()
    # 2 · interval / seconds ≤ 1 %: 200 intervals
    assert least_s <= found.steps.seconds < least_s + 1.5
    assert found.updates >= 200
    assert 0.009 < found.uncertainty <= 0.01
    assert found.idle.seconds >= max(rules.SHORTEST_IDLE_S, least_s)


def test_the_error_above_idle_has_both_errors(session):
    found = session(Meter()).measure()
    grain = rules.grain_of_counter(found.changes)
    of_idle, of_steps = grain.uncertainty(found.idle), grain.uncertainty(found.steps)
    idle_w, steps_w = rules.watts(found.idle), rules.watts(found.steps)
    expected = (of_idle * idle_w + of_steps * steps_w) / (steps_w - idle_w)
    assert found.uncertainty_above_idle == pytest.approx(expected)
    assert found.uncertainty_above_idle > found.uncertainty


def test_steps_are_those_of_the_timed_positions_again_and_again(session):
    one = session(Meter())
    found = one.measure()
    warm_ups = [64, 64]
    assert sorted(set(one.step.restarts)) == [64, 69]
    assert [each for each in one.step.restarts if each == 64] == warm_ups
    assert one.step.position == 79  # the last one is that of every pass, for the gate
    assert abs(found.steps.restarts - found.steps.count / 10) <= 1
    assert one.step.poisoned == [64, 69, 64, 69]


def test_the_gate_gets_every_token_of_these_steps(session):
    one = session(Meter())
    found = one.measure()
    ((name, tokens, before),) = one.keeper.checked
    assert (name, before) == ("energy", 68)
    assert tokens == [*range(69, 79)] * (len(tokens) // 10)
    assert len(tokens) > found.steps.count  # those of the warm-up and those after the last reading, too


def test_restarts_and_readings_are_counted_as_gaps(session):
    found = session(Meter()).measure()
    # the clocks and reasons of the fake take no time, the counter does
    expected = found.steps.restarts * RESTART_S + (len(found.steps.at_s) - 1) * READING_S
    assert found.steps.gaps_s == pytest.approx(expected, abs=1e-5)
    assert found.steps.seconds - found.steps.gaps_s == pytest.approx(found.steps.count * STEP_S, abs=1e-4)


def test_clocks_and_reasons_are_those_of_the_readings(session):
    meter = Meter(clocks=(1755, 2619), throttle_mask=0x5)
    found = session(meter).measure()
    assert found.sm_clock_mhz == 1755
    assert found.memory_clock_mhz == 2619
    assert found.steps.throttle_reasons == ("gpu_idle", "sw_power_cap")
    assert len(found.steps.sm_clock_mhz) == len(found.steps.at_s)
    assert found.idle.settled is True


def test_a_clock_that_never_rests_is_said(session, monkeypatch):
    meter = Meter()
    one = session(meter)
    clock_of = iter(range(10**6))
    monkeypatch.setattr(type(meter.card), "clocks", property(lambda _: (1000 + next(clock_of), 2619)), raising=False)
    assert one.measure().idle.settled is False


def test_a_card_without_clocks_is_measured_all_the_same(session):
    unsupported = ("nvmlDeviceGetClockInfo", "nvmlDeviceGetCurrentClocksEventReasons")
    also = ("nvmlDeviceGetCurrentClocksThrottleReasons",)
    found = session(Meter(unsupported=(*unsupported, *also))).measure()
    assert (found.sm_clock_mhz, found.memory_clock_mhz, found.steps.throttle_reasons) == (None, None, None)
    assert found.idle.settled is None


@pytest.mark.parametrize("missing", ["card", "bindings"])
def test_without_a_counter_power_is_sampled_and_the_section_says_so(session, missing):
    meter = Meter(unsupported=NO_COUNTER if missing == "card" else ())
    found = session(meter, without=NO_COUNTER if missing == "bindings" else ()).measure()
    assert found.source == POWER_SAMPLES
    assert (found.changes, found.resolution_mj) == (ABSENT, ABSENT)
    assert found.idle.joules == pytest.approx(found.idle.seconds * IDLE_W)
    assert found.updates == len(found.steps.at_s) - 1 >= rules.FEWEST_UPDATES
    assert found.uncertainty > rules.POWER_ERROR
    # a sample after a step has the power of the step
    assert found.joules_per_token == pytest.approx(found.steps.seconds * STEP_W / found.steps.count, rel=0.05)


REASONS = {
    "neither": (
        {"unsupported": (*NO_COUNTER, "nvmlDeviceGetPowerUsage")},
        "NVML reports neither an energy counter nor the power of this card",
    ),
    "root": (
        {"faults": {NO_COUNTER[0]: real.NVML_ERROR_NO_PERMISSION}},
        "only root may read the energy counter of this card (NVML said 'Insufficient Permissions'): measure as root",
    ),
    "lost": ({"gone": real.NVML_ERROR_GPU_IS_LOST}, "the GPU does not answer: NVML said 'GPU is lost'"),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_card_without_readings_is_said(session, case):
    card, reason = REASONS[case]
    one = session(Meter(**card))
    found = one.measure()
    assert isinstance(found, NoEnergy)
    assert found.unavailable.startswith(reason)
    assert one.keeper.checked == []
    assert one.step.calls == 0


def test_bindings_that_are_missing_are_said_without_a_path(session, monkeypatch, tmp_path):
    one = session(Meter())
    monkeypatch.setitem(energy.nvml.sys.modules, "pynvml", None)
    monkeypatch.setattr(energy.nvml, "DEV", tmp_path)
    (tmp_path / "nvidia0").touch()
    assert one.measure() == NoEnergy("the Python package nvidia-ml-py is missing")


@pytest.mark.parametrize(
    ("interval_s", "reason"),
    [
        (0.4, "the energy counter changes every 400 ms: an error of at most 1 % would take 80 s, and at most 60 s are"),
        (5.0, "the energy counter changed 3 times in 15 s while steps ran, and 21 changes are needed"),
    ],
)
def test_a_counter_that_is_too_slow_is_refused_before_the_stretch(session, interval_s, reason):
    one = session(Meter(interval_s))
    found = one.measure()
    assert isinstance(found, NoEnergy)
    assert found.unavailable.startswith(reason)
    assert one.keeper.checked == []


def test_a_counter_that_stands_still_is_refused(session, monkeypatch):
    """It counted while its interval was measured, and then stopped."""
    meter = Meter()
    one = session(meter)
    monkeypatch.setattr(energy, "_settled", lambda _card: setattr(meter, "_update", lambda: None))
    found = one.measure()
    assert isinstance(found, NoEnergy)
    assert found.unavailable.startswith("60 s were too short: 0 J in ")


def test_a_resolution_that_is_too_coarse_for_the_stretch_is_refused(session):
    # 2 · 40 J / (60 s · 100 W) = 1.3 % for the idle card alone
    found = session(Meter(resolution_mj=40_000)).measure()
    assert isinstance(found, NoEnergy)
    reason = r"60 s were too short: 60\d\d J in \d+ updates with an error of 1\.[56] %; needed are 100 updates"
    assert re.match(reason, found.unavailable), found.unavailable


def test_nvml_is_open_during_the_pass_and_shut_after_it(session):
    one = session(Meter())
    one.measure()
    assert (one.driver.inits, one.driver.open_sessions) == (1, 0)


def test_phases_of_the_pass_are_its_own_cost(session):
    one, clock = session(Meter()), Clock(1_000, 0.0)
    energy.measure(one.step, one.keeper, one.job, clock)
    assert {"energy", "verify"} <= set(clock.seconds)
