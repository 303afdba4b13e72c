"""The energy of a step: a pass of its own, between the passes with a clock and the profiled one, if a job asks for it.

1. Steps run, and the card's counter is read after each, until it has changed often enough to know its resolution and
   interval. A card without a counter has no such part.
2. The card idles, with the model loaded, once its clock has stopped changing.
3. Steps run as in the wall pass, over the same positions again and again. Readings are taken between steps, so that
   NVML does nothing while one runs. Restarts and readings belong to the stretch, and their time is recorded.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from runner.cell import floors
from runner.cell.fieldtypes import ABSENT, Absent
from runner.declarations import Step
from runner.errors import GpuNotFound, MissingPackage
from runner.job import Job
from runner.machine import nvml
from runner.machine.nvml import OpenCard
from runner.record import energy as rules
from runner.record.energy import Grain
from runner.record.sections.energy import COUNTER, Energy, IdleStretch, NoEnergy, Readings, StepsStretch
from runner.worker import clocks, windows
from runner.worker.gatekeeper import Gatekeeper
from runner.worker.progress import Clock
from runner.worker.readings import SECONDS_BETWEEN, Log, Source, Unavailable, source_of

NAME = "energy"
"""Name of the pass in the gate's section."""
CALIBRATION_S = 15.0
"""Longest time in which the counter must have changed often enough."""
NAP_S = 0.02
SETTLED_READINGS, SETTLE_PAUSE_S, SETTLING_S = 10, 0.1, 15.0
"""Readings of the clock that must be equal, the pause between two, and the longest wait for that."""
WARM_UP_S = 2.0
"""Steps before the stretch: NVML's power is a mean over one second on most cards since Ampere."""


@dataclass(frozen=True)
class Pass:
    """The parts of a session that the pass needs, with NVML open."""

    step: Step
    keeper: Gatekeeper
    job: Job
    clock: Clock
    card: OpenCard
    source: Source

    def warm_up(self) -> tuple[Repeated, int]:
        """Returns the steps after the same warm-up as in any other pass, and the last token of the warm-up."""
        ctx, protocol = self.job.cell.ctx, self.job.protocol
        before = clocks.warm_up(self.step, ctx, protocol.warmup)
        return Repeated(self.step, floors.timed_positions(ctx, protocol.warmup, protocol.steps)), before


class Repeated:
    """Steps over the timed positions, again and again. It counts restarts and keeps every token."""

    def __init__(self, step: Step, timed: range) -> None:
        self._step, self._timed = step, timed
        self.tokens: list[int] = []
        self.restarts = 0
        self.restarting_s = 0.0

    def run(self) -> None:
        """Runs a step and reads its token back. After the last timed position it first goes back to the first."""
        if self.tokens and self._is_at_end():
            began_s = time.perf_counter()
            self._step.restart(self._timed.start)
            self.restarting_s += time.perf_counter() - began_s
            self.restarts += 1
        self.tokens.append(int(self._step().item()))

    def finish(self) -> None:
        """Runs the steps up to the last timed position, where every other pass ends, too."""
        while not self._is_at_end():
            self.run()

    def _is_at_end(self) -> bool:
        return len(self.tokens) % len(self._timed) == 0


def measure(step: Step, keeper: Gatekeeper, job: Job, clock: Clock) -> Energy | NoEnergy:
    """Measures the energy of a step, and has its answers checked. Returns why not if the card does not allow it.

    The gate checks the tokens of all these steps, and cache rows and logits of the last ones, as those of any pass.
    """
    assert job.device.uuid is not None
    try:
        with nvml.opened(job.device.uuid) as card:
            return _measure(Pass(step, keeper, job, clock, card, source_of(card)))
    except MissingPackage:  # its message contains a path of this machine
        return NoEnergy("the Python package nvidia-ml-py is missing")
    except (Unavailable, GpuNotFound) as error:
        return NoEnergy(str(error))


def _measure(shared: Pass) -> Energy:
    name, changes = shared.source.name, _changes(shared) if shared.source.name == COUNTER else ABSENT
    grain = Grain(name, 0.0, SECONDS_BETWEEN[name]) if isinstance(changes, Absent) else rules.grain_of_counter(changes)
    with shared.clock.phase(NAME, "measure: energy of the idle card"):
        idle = _idle(shared, grain)
    with shared.clock.phase(NAME, "measure: energy of a step"):
        repeated, before = shared.warm_up()
        steps = _steps(shared, repeated, grain)
    with shared.clock.phase("verify", "verify: energy"):
        shared.keeper.check_repeated(NAME, repeated.tokens, before)
    return rules.of_readings(name, changes, idle, steps)


def _changes(shared: Pass) -> Readings:
    """Returns the counter at each of its changes while steps run, from the first change on.

    Raises Unavailable if it changes too rarely for a stretch of the permitted length.
    """
    at_s: list[float] = []
    values: list[Any] = []
    with shared.clock.phase(NAME, "measure: the energy counter"):
        repeated, _ = shared.warm_up()
        began_s, last = time.perf_counter(), shared.source.value()
        while len(values) <= rules.FEWEST_CHANGES:
            repeated.run()
            value, now_s = shared.source.value(), time.perf_counter()
            if value != last:
                at_s.append(now_s)
                values.append(value)
            if now_s - began_s > CALIBRATION_S:
                raise Unavailable(
                    f"the energy counter changed {len(values)} times in {CALIBRATION_S:.0f} s while steps ran, and "
                    f"{rules.FEWEST_CHANGES + 1} changes are needed to know its interval"
                )
            last = value
    found = shared.source.readings(at_s, values)
    _check_length(rules.grain_of_counter(found))
    return found


def _check_length(grain: Grain) -> None:
    """Raises Unavailable if even the longest stretch is too short for the counter."""
    needed_s = grain.interval_s * max(rules.FEWEST_UPDATES, 2 / rules.LARGEST_UNCERTAINTY)
    if needed_s > rules.LONGEST_S:
        raise Unavailable(
            f"the energy counter changes every {grain.interval_s * 1e3:.0f} ms: an error of at most "
            f"{100 * rules.LARGEST_UNCERTAINTY:.0f} % would take {needed_s:.0f} s, and at most "
            f"{rules.LONGEST_S:.0f} s are measured"
        )


def _idle(shared: Pass, grain: Grain) -> IdleStretch:
    """Measures the idle card."""
    clocks.wait(torch.device(shared.job.device.kind))
    settled, log = _settled(shared.card), Log(shared.card, shared.source)
    log.fill(
        lambda: time.sleep(NAP_S),
        grain,
        lambda found: rules.seconds(found) >= rules.SHORTEST_IDLE_S and grain.is_fine_enough(found),
    )
    return IdleStretch(**log.stretch(), settled=settled)


def _settled(card: OpenCard) -> bool | None:
    """Waits until the multiprocessors' clock has stopped changing. Returns whether it has; None if it is not known."""
    began_s, clocks_mhz = time.perf_counter(), [card.sm_clock_mhz()]
    while len(clocks_mhz) < SETTLED_READINGS or len({*clocks_mhz[-SETTLED_READINGS:]}) > 1:
        if time.perf_counter() - began_s > SETTLING_S:
            return False
        time.sleep(SETTLE_PAUSE_S)
        clocks_mhz.append(card.sm_clock_mhz())
    return None if clocks_mhz[-1] is None else True


def _steps(shared: Pass, repeated: Repeated, grain: Grain) -> StepsStretch:
    """Measures steps that have reached a steady state."""
    until_s = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < until_s:
        repeated.run()
    log, tokens = Log(shared.card, shared.source), len(repeated.tokens)
    restarts, restarting_s = repeated.restarts, repeated.restarting_s
    with windows.watch() as window:
        log.fill(
            repeated.run,
            grain,
            lambda found: grain.updates(found) >= rules.FEWEST_UPDATES and grain.is_fine_enough(found),
        )
        count, restarts = len(repeated.tokens) - tokens, repeated.restarts - restarts
        gaps_s = round(log.reading_s + repeated.restarting_s - restarting_s, 6)
    repeated.finish()
    return StepsStretch(**log.stretch(), **asdict(window), count=count, restarts=restarts, gaps_s=gaps_s)
