"""Estimates: a step with its range and what they are based on.

- *Tested*: a card of the architecture has records. The step is the model's, the range that of `residuals`. Beyond the
  fitted contexts, the range begins where attention does not grow any further.
- *Untested*: no card has. The range is [floor, floor / smallest share seen], the step its geometric middle. Where the
  host sets the pace, the share is that of the time in which kernels run, and the range reaches at least to the host's
  time on the recorded hosts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.prediction import residuals, stepmodel
from analysis.prediction.constants import Architecture, Constants
from analysis.prediction.stepmodel import HOST_BOUND, MEMORY, Step
from analysis.prediction.workload import Configuration, workload
from runner.cell import floors
from runner.cell.shape import ModelShape

UNTESTED = "untested"


@dataclass(frozen=True)
class Card:
    """What an estimate needs of a GPU."""

    gpu: str
    capability: str | None
    bandwidth_gbs: float


@dataclass(frozen=True)
class Estimate:
    """A step in ms with its range. `limit` is the term that wins, `basis` what the constants were fitted on, or
    `untested`; `caveats` are conditions of the estimate. `high_ms` is infinite if no range can be stated."""

    step_ms: float
    low_ms: float
    high_ms: float
    limit: str
    basis: str
    floor_ms: float
    caveats: tuple[str, ...] = ()

    def contains(self, step_ms: float) -> bool:
        """Returns whether a measured step lies in the range."""
        return self.low_ms <= step_ms <= self.high_ms


def estimate(constants: Constants, card: Card, shape: ModelShape, ctx: int, configuration: Configuration) -> Estimate:
    """Returns the estimate of a configuration that the constants of some architecture have."""
    known = constants.of(card.capability)
    if known is not None and known.remainder(configuration) is not None:
        return _tested(known, card, shape, ctx, configuration)
    return _untested(constants, card, shape, ctx, configuration)


def _tested(known: Architecture, card: Card, shape: ModelShape, ctx: int, configuration: Configuration) -> Estimate:
    work = workload(configuration, shape, ctx)
    own, path = known.remainder(configuration), known.path_of(configuration)
    assert own is not None
    step = stepmodel.step(known, configuration, work, card.bandwidth_gbs)
    factor = _factor(known, step)
    floor_ms = floors.floor_ms(work.streamed_bytes, card.bandwidth_gbs)
    shorter = replace(work, attended=work.attended * min(1.0, path.ctx / ctx))
    least_ms = stepmodel.step(known, configuration, shorter, card.bandwidth_gbs).ms
    caveats = []
    if step.limit == HOST_BOUND:
        caveats.append(_of_the_host(own.launch_us))
    if ctx > path.ctx:
        caveats.append(f"attention was fitted up to ctx {path.ctx}")
    if card.gpu not in own.gpus:
        caveats.append(f"this kernel was measured on {', '.join(own.gpus)} alone")
    basis = f"{known.name}: {', '.join(sorted(known.gpus))}"
    return Estimate(
        step.ms, max(least_ms / factor, floor_ms), step.ms * factor, step.limit, basis, floor_ms, tuple(caveats)
    )


def _factor(known: Architecture, step: Step) -> float:
    """Returns the upper end of a range over the prediction."""
    spread = known.spread(residuals.kind(step.limit))
    return math.inf if spread is None or spread.half_width is None else math.exp(spread.half_width)


def _of_the_host(launch_us: tuple[float, float]) -> str:
    low, high = launch_us
    probe = f"{low:.1f}" if round(low, 1) == round(high, 1) else f"{low:.1f} to {high:.1f}"
    return f"only for a host like the recorded ones, whose launch probe shows {probe} µs"


def _untested(constants: Constants, card: Card, shape: ModelShape, ctx: int, configuration: Configuration) -> Estimate:
    work = workload(configuration, shape, ctx)
    floor_ms = floors.floor_ms(work.streamed_bytes, card.bandwidth_gbs)
    seen = list(_seen(constants, shape, ctx, configuration))
    host = max(each.host_ms for each in seen)
    slowest_ms = floor_ms / min(each.share for each in seen)
    added_ms = max(each.added_ms for each in seen)
    high_ms = max(slowest_ms, host) + added_ms
    middle_ms = math.sqrt(floor_ms * high_ms)
    gpus = sorted({gpu for each in seen for gpu in each.gpus})
    caveats = (f"architecture without a record; the shares were seen on {', '.join(gpus)}",)
    return Estimate(
        middle_ms, floor_ms, high_ms, HOST_BOUND if host > slowest_ms else MEMORY, UNTESTED, floor_ms, caveats
    )


@dataclass(frozen=True)
class Seen:
    """What an architecture with records says about others."""

    share: float
    host_ms: float
    added_ms: float
    gpus: tuple[str, ...]


def _seen(constants: Constants, shape: ModelShape, ctx: int, configuration: Configuration) -> Iterator[Seen]:
    """Yields what each architecture shows of a configuration. Beyond its measured contexts the share is the model's, if
    that is smaller."""
    for known in constants.architectures:
        if (own := known.remainder(configuration)) is None:
            continue
        work = workload(configuration, shape, ctx)
        steps = {gbs: stepmodel.step(known, configuration, work, gbs) for gbs in known.gpus.values()}
        shares = [floors.floor_ms(work.streamed_bytes, gbs) / step.device_ms for gbs, step in steps.items()]
        spread = known.spread(HOST_BOUND)
        factor = math.exp(spread.half_width) if spread and spread.half_width is not None else 1.0
        host_ms, added_ms = (
            max(values) for values in zip(*((step.host_ms, step.added_ms) for step in steps.values()), strict=True)
        )
        yield Seen(
            share=min([own.least_share, *(shares if ctx > own.ctx else [])]),
            host_ms=host_ms * factor,
            added_ms=added_ms * (factor if host_ms else 1.0),
            gpus=own.gpus,
        )
