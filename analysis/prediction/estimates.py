"""Estimates: a step with its range and what they are based on.

- *Tested*: a card of the architecture has records. The step is the model's, the range that of `residuals`. Beyond the
  fitted contexts, the range begins where attention does not grow any further.
- *Untested*: no card has. The range is [floor, floor / smallest share seen], the step its geometric middle. If the
  host sets the pace, the share is that of the time in which kernels run. The range reaches at least to the steps of the
  measured cards and to the time of their hosts: a faster memory shortens neither. A kernel that was tried on other
  architectures alone may be far slower on this one: the share is the smallest of any configuration of its format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.prediction import residuals, stepmodel
from analysis.prediction.constants import Architecture, Constants, Remainder, Spread
from analysis.prediction.stepmodel import HOST_BOUND, KERNELS, MEMORY, Step
from analysis.prediction.workload import Configuration, Workload, workload
from runner import registry
from runner.cell import floors
from runner.cell.shape import ModelShape

UNTESTED = "untested"
EXCHANGES = "the exchanges of a layer, which limit it, were measured with one model alone"


@dataclass(frozen=True)
class Card:
    """The facts about a GPU that an estimate needs."""

    gpu: str
    capability: str | None
    bandwidth_gbs: float


@dataclass(frozen=True)
class Estimate:
    """A step in ms with its range. `limit` is the term that wins, `basis` what the constants were fitted on, or
    `untested`; `caveats` are conditions of the estimate."""

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
    work = workload(configuration, shape, ctx)
    known = constants.of(card.capability)
    own = None if known is None else known.covering(configuration, shape)
    if known is None or own is None:
        return _untested(constants, card, shape, ctx, configuration)
    step = stepmodel.step(known, configuration, work, card.bandwidth_gbs)
    low_ms, high_ms, caveats = _range(known, step, card, shape, ctx, configuration)
    if configuration.is_one_kernel and step.limit == KERNELS:
        caveats = (EXCHANGES, *caveats)
    if step.limit == HOST_BOUND:
        caveats = (_of_the_host(own), *caveats)
    if new_length_ms := known.path_of(configuration).new_length_ms:
        caveats = (*caveats, f"of it {new_length_ms:.0f} ms for a context length that is new to the process")
    if card.gpu not in own.gpus:
        caveats = (*caveats, f"measured on {own.measured_on} alone")
    basis = f"{known.name}: {', '.join(sorted(known.gpus))}"
    return Estimate(step.ms, low_ms, high_ms, step.limit, basis, _floor_ms(work, card.bandwidth_gbs), caveats)


def _range(
    known: Architecture, step: Step, card: Card, shape: ModelShape, ctx: int, configuration: Configuration
) -> tuple[float, float, tuple[str, ...]]:
    """Returns the ends of the range of a tested step, and its caveats."""
    work = workload(configuration, shape, ctx)
    floor_ms = _floor_ms(work, card.bandwidth_gbs)
    spread = known.spread(residuals.limit_of(step.limit))
    if spread is None:  # no row could be held out
        untested = _untested(Constants((known,)), card, shape, ctx, configuration)
        return floor_ms, max(untested.high_ms, step.ms), ("too few records for a range of its own",)
    factor = _factor(spread)
    path = known.path_of(configuration)
    if ctx <= path.ctx:
        return max(step.ms / factor, floor_ms), step.ms * factor, ()
    shorter = replace(work, attended=work.attended * path.ctx / ctx)
    least_ms = stepmodel.step(known, configuration, shorter, card.bandwidth_gbs).ms
    caveats = (f"attention was fitted up to ctx {path.ctx}",)
    return max(least_ms / factor, floor_ms), step.ms * factor, caveats


def _factor(spread: Spread | None) -> float:
    """Returns the upper end of a range over the prediction; 1 without a spread."""
    return 1.0 if spread is None else math.exp(spread.half_width)


def _floor_ms(work: Workload, bandwidth_gbs: float) -> float:
    return floors.floor_ms(work.streamed_bytes, bandwidth_gbs)


def _of_the_host(own: Remainder) -> str:
    low, high = own.launch_us
    probe = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return f"only for a host like the recorded ones (launch probe {probe} µs)"


def _untested(constants: Constants, card: Card, shape: ModelShape, ctx: int, configuration: Configuration) -> Estimate:
    floor_ms = _floor_ms(workload(configuration, shape, ctx), card.bandwidth_gbs)
    seen = list(_seen(constants, shape, ctx, configuration))
    tried = registry.kernel(configuration.kernel).DECLARATION.tried or ()
    is_new = bool(tried) and card.capability not in tried
    if is_new:
        seen = [replace(each, share=min(each.share, _least_share(constants, configuration.quant))) for each in seen]
    device_ms = max(floor_ms / min(each.share for each in seen), *(each.device_ms for each in seen))
    host_ms = max(each.host_ms for each in seen)
    high_ms = max(device_ms, host_ms) + max(each.added_ms for each in seen)
    limit = HOST_BOUND if host_ms > device_ms else MEMORY
    gpus = sorted({gpu for each in seen for gpu in each.gpus})
    missing = _missing(constants.of(card.capability), configuration)
    caveats = [f"{missing} on its architecture; shares as seen on {', '.join(gpus)}"]
    if is_new:
        caveats.append(f"kernel tried on compute capability {', '.join(tried)} alone")
    return Estimate(math.sqrt(floor_ms * high_ms), floor_ms, high_ms, limit, UNTESTED, floor_ms, tuple(caveats))


def _missing(known: Architecture | None, configuration: Configuration) -> str:
    """Returns what the records of a card's architecture lack."""
    if known is None:
        return "no record"
    other_size = known.remainder(configuration) is not None
    return "no record of a model of this size" if other_size else "no record of this configuration"


def _least_share(constants: Constants, quant: str) -> float:
    remainders = (each for known in constants.architectures for each in known.remainders)
    return min(each.least_share for each in remainders if each.quant == quant)


@dataclass(frozen=True)
class Seen:
    """Bounds that the records of one architecture suggest for another: the smallest share, and the longest times of
    device and host. `added_ms` is the rest of a step that the host paces."""

    share: float
    device_ms: float
    host_ms: float
    added_ms: float
    gpus: tuple[str, ...]


def _seen(constants: Constants, shape: ModelShape, ctx: int, configuration: Configuration) -> Iterator[Seen]:
    """Yields what each architecture suggests. Beyond the contexts of the records, the share is the model's if that is
    smaller."""
    work = workload(configuration, shape, ctx)
    for known in constants.architectures:
        if (own := known.covering(configuration, shape)) is None:
            continue
        steps = {gbs: stepmodel.step(known, configuration, work, gbs) for gbs in known.gpus.values()}
        shares = [_floor_ms(work, gbs) / step.device_ms for gbs, step in steps.items()]
        host_factor, device_factor = (_factor(known.spread(limit)) for limit in (HOST_BOUND, residuals.DEVICE_BOUND))
        slowest = max(steps.values(), key=lambda step: step.device_ms)
        yield Seen(
            share=min(own.least_share, *shares) if ctx > own.ctx else own.least_share,
            device_ms=slowest.device_ms * device_factor,
            host_ms=slowest.host_ms * host_factor,
            added_ms=slowest.added_ms * host_factor if slowest.host_ms else 0.0,
            gpus=own.gpus,
        )
