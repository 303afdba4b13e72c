"""The statistics of an A/B: by how much is one arm faster, how sure is that, and what is the verdict.

Everything is estimated on the logarithm of the sessions' medians, within each host, and put together over hosts
(docs/statistics.md says why each choice was made, and what was measured of it).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import (
    CI95,
    CONFIDENCE,
    FEWEST_FOR_AN_INTERVAL,
    NONE,
    RANGE,
    interval_depth,
    median_interval,
)
from runner.errors import BadValue

RESAMPLES = 9999
THRESHOLD = 0.01
WANTED_HALF_WIDTH = 0.005
FREEDOM_OF_A_SPACING = 0.75  # by simulation: coverage nearest 95 % under normal and fitted noise (docs/statistics.md)
FASTER, SLOWER, SAME, AMBIGUOUS = "FASTER", "SLOWER", "SAME", "AMBIGUOUS"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HostSessions:
    """The sessions' medians of both arms, in ms, on one host; equally many of each."""

    host_id: str
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """`ratio` is a / b, the ratio of the arms' median session: above 1, b is faster.

    `low` and `high` are the 95 % interval (`interval` is `ci95`), the smallest and largest ratio of two sessions of one
    host below five sessions (`range`), or the ratio itself (`none`). `bootstrap` is scipy's BCa interval as the paper
    has it, None where it has no value. `a_ms` and `b_ms` are the arms' median sessions, over several hosts their
    geometric mean, so that they divide to the ratio. `sessions` counts those of each arm that are used, `unused` those
    on hosts with too few; `cv_a` and `cv_b` are coefficients of variation over sessions, within hosts.
    `sessions_needed` of each arm would bring the interval to ±0.5 %, None without one.
    """

    a_ms: float
    b_ms: float
    ratio: float
    low: float
    high: float
    interval: str
    bootstrap: tuple[float, float] | None
    sessions: int
    unused: int
    hosts: int
    cv_a: float
    cv_b: float
    sessions_needed: int | None
    verdict: str | None
    reason: str


def compare(hosts: Sequence[HostSessions], threshold: float = THRESHOLD, bootstrapped: bool = True) -> Comparison:
    """Compare two arms; the bootstrap, which takes longest, may be left out. Raises BadValue for no sessions, unequal
    counts, or a median that is no positive number."""
    _check(hosts)
    used = [host for host in hosts if len(host.a) >= FEWEST_FOR_AN_INTERVAL] or list(hosts)
    count = sum(len(host.a) for host in used)
    enough = all(len(host.a) >= FEWEST_FOR_AN_INTERVAL for host in used)
    logs = [(np.log(host.a)[None], np.log(host.b)[None]) for host in used]
    log_a, log_b = (float(_log_centre([host[arm] for host in logs])[0]) for arm in (0, 1))
    ratio = math.exp(log_a - log_b)
    low, high, kind = _interval(used, logs, enough)
    low, high = min(low, ratio), max(high, ratio)  # a range of one session is its ratio, but for the last bit
    needed = _sessions_needed(count, low, high) if enough else None
    verdict, reason = _verdict(low, high, threshold, needed) if enough else (None, _too_few(hosts))
    return Comparison(
        a_ms=math.exp(log_a),
        b_ms=math.exp(log_b),
        ratio=ratio,
        low=low,
        high=high,
        interval=kind,
        bootstrap=_bootstrap(used) if enough and bootstrapped else None,
        sessions=count,
        unused=sum(len(host.a) for host in hosts) - count,
        hosts=len(used),
        cv_a=_variation([host.a for host in used]),
        cv_b=_variation([host.b for host in used]),
        sessions_needed=needed,
        verdict=verdict,
        reason=reason,
    )


def _check(hosts: Sequence[HostSessions]) -> None:
    if not hosts or not all(host.a for host in hosts):
        raise BadValue("a comparison needs sessions of both arms")
    for host in hosts:
        if len(host.a) != len(host.b):
            raise BadValue(f"{len(host.a)} sessions of a and {len(host.b)} of b on one host: they must be as many")
        for value in (*host.a, *host.b):
            if not (math.isfinite(value) and value > 0):
                raise BadValue(f"a session's median of {value} ms is no duration")


def log_ratio(logs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Log of the ratio a / b, weighted over hosts by their sessions. Each arm of a host is [simulations, sessions]."""
    return _log_centre([a for a, _ in logs]) - _log_centre([b for _, b in logs])


def _log_centre(arms: Sequence[Floats]) -> Floats:
    """Of one arm: the log of its median session, over several hosts averaged by their sessions."""
    return _weighted_sum(arms, [_log_median(arm) for arm in arms])


def _log_median(logs: Floats) -> Floats:
    """Of the medians in ms, as a table shows them: of an even number the logs' own median is another."""
    middle: Floats = np.log(np.median(np.exp(logs), axis=1))
    return middle


def _weighted_sum(arms: Sequence[Floats], values: Sequence[Floats]) -> Floats:
    total: Floats = np.sum([weight * one for weight, one in zip(_weights(arms), values, strict=True)], axis=0)
    return total


def _weights(arms: Sequence[Floats]) -> list[float]:
    counts = [arm.shape[1] for arm in arms]
    return [count / sum(counts) for count in counts]


def log_interval(logs: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Ends of the 95 % interval of `log_ratio`, from at least five sessions of each arm and host.

    Each arm's median has its distribution-free interval (Hettmansperger and Sheather 1986). MOVER puts them together
    (Zou and Donner 2008), within a host and over hosts: a sum's distance to an end is the root of its parts' summed
    squares. Within a host the width is then brought from the arms' own Student's t to that of both.
    """
    weights = _weights([a for a, _ in logs])
    each = [ratio_distances(a, b) for a, b in logs]
    down, up = (
        np.sqrt(np.sum([(weight * one[end]) ** 2 for weight, one in zip(weights, each, strict=True)], axis=0))
        for end in (0, 1)
    )
    middle = log_ratio(logs)
    return middle - down, middle + up


def ratio_distances(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """From the log ratio of one host [simulations] down and up to the ends of its interval. Of arms with unequally many
    sessions the width is left as it is, which is rather too wide than too narrow."""
    (down_a, up_a), (down_b, up_b) = _distances(a), _distances(b)
    is_even = a.shape[1] == b.shape[1]
    shrink = _satterthwaite(down_a + up_a, down_b + up_b, _freedom(a.shape[1])) if is_even else 1.0
    return shrink * np.hypot(down_a, up_b), shrink * np.hypot(up_a, down_b)


def _distances(logs: Floats) -> tuple[Floats, Floats]:
    """From the median [simulations] down and up to the ends of its interval."""
    middle, (low, high) = _log_median(logs), median_interval(logs)
    return middle - low, high - middle


def _freedom(count: int) -> float:
    """Degrees of freedom of the width of `median_interval`: by the spacings between sessions that it adds up, each
    worth less than one. Of normal sessions the width varies as that of 3.7, 5.5 and 6.6 degrees at 5, 10 and 20, of
    skewed ones as that of fewer; this gives 3, 4.3 and 6.4."""
    depth, inwards = interval_depth(count)
    return FREEDOM_OF_A_SPACING * (count + 1 - 2 * (depth + inwards))


def _satterthwaite(width_a: Floats, width_b: Floats, freedom: float) -> Floats:
    """Student's t at the degrees of freedom of both arms (Welch and Satterthwaite) over that at one arm's.

    An interval of few sessions is wide to make up for its own uncertain width. Where two of like width are put together
    that uncertainty averages out; where one is much wider it does not.
    """
    from scipy.special import stdtrit  # Student's quantile, as scipy.stats.t.ppf has it

    a, b = np.square(width_a), np.square(width_b)
    squares = a**2 + b**2
    gain = np.divide((a + b) ** 2, squares, out=np.ones_like(squares), where=squares > 0)
    quantile = 0.5 + CONFIDENCE / 2
    ratio: Floats = stdtrit(freedom * gain, quantile) / stdtrit(freedom, quantile)
    return ratio


def _interval(
    used: Sequence[HostSessions], logs: Sequence[tuple[Floats, Floats]], enough: bool
) -> tuple[float, float, str]:
    if enough:
        low, high = log_interval(logs)
        return math.exp(float(low[0])), math.exp(float(high[0])), CI95
    ratios = [min(host.a) / max(host.b) for host in used] + [max(host.a) / min(host.b) for host in used]
    return min(ratios), max(ratios), RANGE if sum(len(host.a) for host in used) > 1 else NONE


def _bootstrap(used: Sequence[HostSessions]) -> tuple[float, float] | None:
    """The paper's way: scipy's bootstrap (BCa, seed fixed) of the ratio over the sessions of each arm and host."""
    from scipy.stats import bootstrap

    def ratio(*samples: Floats, axis: int) -> Any:
        weights = [sample.shape[axis] for sample in samples[::2]]
        each = [
            np.log(np.median(a, axis=axis) / np.median(b, axis=axis)) for a, b in zip(*[iter(samples)] * 2, strict=True)
        ]
        return np.exp(sum(weight * one for weight, one in zip(weights, each, strict=True)) / sum(weights))

    samples = [np.asarray(arm) for host in used for arm in (host.a, host.b)]
    if all(np.ptp(sample) == 0 for sample in samples):
        return None
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate samples, whose interval is no number and left out below
        found = bootstrap(samples, ratio, n_resamples=RESAMPLES, rng=0, vectorized=True).confidence_interval
    return (float(found.low), float(found.high)) if math.isfinite(found.low + found.high) else None


def _variation(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within hosts over the mean; 0 where every host has one session."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    squares = sum((value / (sum(group) / len(group)) - 1) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom)


def half_width(ratio: float, low: float, high: float) -> float:
    """Half of an interval, relative to its ratio: 0.005 is ±0.5 %."""
    return (high - low) / 2 / ratio


def _sessions_needed(count: int, low: float, high: float) -> int:
    """Of each arm for ±0.5 %: an interval narrows with the root of the sessions."""
    now = half_width(math.sqrt(low * high), low, high)
    return max(FEWEST_FOR_AN_INTERVAL, math.ceil(count * (now / WANTED_HALF_WIDTH) ** 2 - 1e-9))


def _verdict(low: float, high: float, threshold: float, needed: int | None) -> tuple[str, str]:
    """By the whole interval: beyond the threshold on one side, within it, or neither."""
    above, below = 1 + threshold, 1 / (1 + threshold)
    percent = f"{threshold:.1%}".replace(".0%", " %")
    if low > above:
        return FASTER, f"b is faster than a by more than {percent}: the whole interval says so"
    if high < below:
        return SLOWER, f"b is slower than a by more than {percent}: the whole interval says so"
    if below <= low and high <= above:
        return SAME, f"the whole interval lies within {percent} of no difference"
    if low > 1 or high < 1:
        word = "faster" if low > 1 else "slower"
        return AMBIGUOUS, f"b is {word}, but whether by more than {percent} is open: {needed} sessions for ±0.5 %"
    return AMBIGUOUS, f"the interval reaches beyond {percent} and holds no difference: {needed} sessions for ±0.5 %"


def _too_few(hosts: Sequence[HostSessions]) -> str:
    most = max(len(host.a) for host in hosts)
    where = "" if len(hosts) == 1 else f" on any of {len(hosts)} hosts"
    return f"{most} sessions of each arm{where}: no interval and no verdict below {FEWEST_FOR_AN_INTERVAL}"
