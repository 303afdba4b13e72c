"""Statistics of an A/B: ratio of the arms, its confidence interval, and the verdict.

All estimates use the logarithm of session medians within each host and are combined over hosts. docs/statistics.md
gives the reasons and the measured properties.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.percent import percent
from analysis.statistics.intervals import (
    CI95,
    CONFIDENCE,
    NONE,
    RANGE,
    interval_depth,
    median_interval,
)
from runner.ab.manifest import FEWEST_FOR_AN_INTERVAL
from runner.counts import counted
from runner.errors import BadValue

RESAMPLES = 9999
THRESHOLD = 0.01
TARGET_HALF_WIDTH = 0.005
FREEDOM_OF_A_SPACING = 0.75  # from simulation: coverage nearest 95 % under normal and fitted noise (docs/statistics.md)
FASTER, SLOWER, SAME, AMBIGUOUS = "FASTER", "SLOWER", "SAME", "AMBIGUOUS"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HostSessions:
    """Session medians of both arms on one host in ms, equally many of each."""

    host_id: str
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    `ratio` is a / b, the ratio of the arms' median sessions: above 1, b is faster. `low` and `high` are the 95 %
    interval (`interval` is `ci95`). Below five sessions they are the smallest and largest ratio of two sessions of one
    host (`range`), or the ratio itself (`none`). `bootstrap` is scipy's BCa interval as the paper computes it, None if
    undefined.

    `a_ms` and `b_ms` are the arms' median sessions, over several hosts their geometric mean, so that a_ms / b_ms is the
    ratio. `sessions` counts the used sessions of each arm, `unused` those on hosts with too few. `cv_a` and `cv_b` are
    coefficients of variation over sessions, within hosts. `sessions_needed` is the number of each arm for an interval
    of ±0.5 %, None without an interval.
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
    """Compares two arms. `bootstrapped=False` skips the bootstrap, the slowest part.

    Raises BadValue without sessions, for unequal counts, and for a median that is not a positive number.
    """
    _check(hosts)
    used = [host for host in hosts if len(host.a) >= FEWEST_FOR_AN_INTERVAL] or list(hosts)
    count = sum(len(host.a) for host in used)
    enough = all(len(host.a) >= FEWEST_FOR_AN_INTERVAL for host in used)
    logs = [(np.log(host.a)[None], np.log(host.b)[None]) for host in used]
    log_a, log_b = (_log_centre([host[arm] for host in logs]).item() for arm in (0, 1))
    ratio = math.exp(log_a - log_b)
    low, high, kind = _interval(used, logs, enough)
    low, high = min(low, ratio), max(high, ratio)  # the range of one session equals its ratio up to rounding
    needed = _sessions_needed(count, low, high) if enough else None
    verdict, reason = _verdict(low, high, threshold, needed, len(used)) if enough else (None, _too_few(hosts))
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
        raise BadValue("a comparison needs sessions of both arms: give at least one of each on every host")
    for host in hosts:
        if len(host.a) != len(host.b):
            raise BadValue(
                f"{counted(len(host.a), 'session')} of a and {len(host.b)} of b on one host: "
                "leave out those without a partner"
            )
        for value in (*host.a, *host.b):
            if not (math.isfinite(value) and value > 0):
                raise BadValue(f"a session's median of {value} ms is not a duration: it must be a positive number")


def log_ratio(logs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Returns the log of the ratio a / b, hosts weighted by their sessions. Each arm of a host is [simulations,
    sessions]."""
    return _log_centre([a for a, _ in logs]) - _log_centre([b for _, b in logs])


def _log_centre(arms: Sequence[Floats]) -> Floats:
    """Returns the log of an arm's median session; over several hosts, the mean weighted by sessions."""
    medians = np.array([_log_median(arm) for arm in arms])
    return np.asarray(np.tensordot(_weights(arms), medians, axes=1), dtype=float)


def _log_median(logs: Floats) -> Floats:
    """Returns the log of the medians in ms. For an even number of sessions the median of the logs differs from it."""
    middle: Floats = np.log(np.median(np.exp(logs), axis=1))
    return middle


def _weights(arms: Sequence[Floats]) -> Floats:
    counts = np.array([arm.shape[1] for arm in arms])
    weights: Floats = counts / counts.sum()
    return weights


def log_interval(logs: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Returns the ends of the 95 % interval of `log_ratio`, from at least five sessions of each arm and host.

    The median of each arm has its distribution-free interval (Hettmansperger and Sheather 1986). MOVER combines these
    within a host and over hosts (Zou and Donner 2008): the distance of a sum to an end is the root sum of squares of
    its parts. Within a host, the width is then rescaled from Student's t of one arm to that of both.
    """
    down, up = combined_distances(_weights([a for a, _ in logs]), logs)
    middle = log_ratio(logs)
    return middle - down, middle + up


def combined_distances(weights: Floats, logs: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Returns the distances from the weighted sum of the hosts' log ratios [simulations] down and up to the ends."""
    distances = np.array([ratio_distances(a, b) for a, b in logs])  # [hosts, 2, simulations]
    down, up = np.sqrt(np.tensordot(np.square(weights), np.square(distances), axes=1))
    return down, up


def ratio_distances(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Returns the distances from the log ratio of one host [simulations] down and up to the ends of its interval.

    For arms with different counts the width is not rescaled, which errs on the wide side.
    """
    (down_a, up_a), (down_b, up_b) = _distances(a), _distances(b)
    is_even = a.shape[1] == b.shape[1]
    shrink = _satterthwaite(down_a + up_a, down_b + up_b, _freedom(a.shape[1])) if is_even else 1.0
    return shrink * np.hypot(down_a, up_b), shrink * np.hypot(up_a, down_b)


def _distances(logs: Floats) -> tuple[Floats, Floats]:
    """Returns the distances from the median [simulations] down and up to the ends of its interval."""
    middle, (low, high) = _log_median(logs), median_interval(logs)
    return middle - low, high - middle


def _freedom(count: int) -> float:
    """Returns the degrees of freedom of the width of `median_interval`.

    The width is a sum of spacings between sessions, each worth less than one degree. Under normal noise the width
    varies like 3.7, 5.5 and 6.6 degrees at 5, 10 and 20 sessions, under skewed noise like fewer; this formula gives 3,
    4.3 and 6.4.
    """
    depth, inwards = interval_depth(count)
    return FREEDOM_OF_A_SPACING * (count + 1 - 2 * (depth + inwards))


def _satterthwaite(width_a: Floats, width_b: Floats, freedom: float) -> Floats:
    """Returns Student's t at the degrees of freedom of both arms (Welch and Satterthwaite) over that of one arm.

    The interval of few sessions is wide because its own width is uncertain. For two arms of similar width that
    uncertainty averages out; if one is much wider, it does not.
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
        return math.exp(low.item()), math.exp(high.item()), CI95
    ratios = [min(host.a) / max(host.b) for host in used] + [max(host.a) / min(host.b) for host in used]
    return min(ratios), max(ratios), RANGE if sum(len(host.a) for host in used) > 1 else NONE


def _bootstrap(used: Sequence[HostSessions]) -> tuple[float, float] | None:
    """Returns scipy's BCa bootstrap interval of the ratio, as the paper computes it (fixed seed)."""
    from scipy.stats import bootstrap

    def ratio(*samples: Floats, axis: int) -> Any:
        logs = np.log([np.median(sample, axis=axis) for sample in samples])  # a and b of each host in turn
        weights = [sample.shape[axis] for sample in samples[::2]]
        return np.exp(np.average(logs[::2] - logs[1::2], axis=0, weights=weights))

    samples = [np.asarray(arm) for host in used for arm in (host.a, host.b)]
    if all(np.ptp(sample) == 0 for sample in samples):
        return None
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate samples give NaN, which is checked below
        interval = bootstrap(samples, ratio, n_resamples=RESAMPLES, rng=0, vectorized=True).confidence_interval
    low, high = float(interval.low), float(interval.high)
    return (low, high) if all(map(math.isfinite, (low, high))) else None


def _variation(groups: Sequence[Sequence[float]]) -> float:
    """Returns the standard deviation within hosts over the mean; 0 if every host has one session."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    squares = sum((value / (sum(group) / len(group)) - 1) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom)


def half_width(ratio: float, low: float, high: float) -> float:
    """Returns half the width of an interval relative to its ratio: 0.005 is ±0.5 %."""
    return (high - low) / 2 / ratio


def _sessions_needed(count: int, low: float, high: float) -> int:
    """Returns the sessions of each arm for ±0.5 %: the width shrinks with the square root of the sessions."""
    current = half_width(math.sqrt(low * high), low, high)
    return max(FEWEST_FOR_AN_INTERVAL, math.ceil(count * (current / TARGET_HALF_WIDTH) ** 2 - 1e-9))


def _verdict(low: float, high: float, threshold: float, needed: int | None, hosts: int = 1) -> tuple[str, str]:
    """Returns the verdict and its reason: the whole interval must lie beyond the threshold or within it."""
    above, below = 1 + threshold, 1 / (1 + threshold)
    share = percent(threshold, ".1%").replace(".0 ", " ")
    ends = f"[{low:.3f}, {high:.3f}]"
    if low > above:
        return FASTER, f"b is faster than a by more than {share}: the whole interval {ends} lies above {above:g}"
    if high < below:
        return SLOWER, f"b is slower than a by more than {share}: the whole interval {ends} lies below 1/{above:g}"
    if below <= low and high <= above:
        return SAME, f"the whole interval {ends} lies within {share} of 1 (no difference)"
    return AMBIGUOUS, f"the interval {ends} {_open_question(low, high, share)}. {_more_sessions(needed, hosts)}"


def _open_question(low: float, high: float, share: str) -> str:
    if low <= 1 <= high:
        return f"includes 1 (no difference) and reaches beyond ±{share}"
    word = "faster" if low > 1 else "slower"
    return f"shows that b is {word}, but not whether by more than {share}"


def _more_sessions(needed: int | None, hosts: int) -> str:
    count = f"{needed:,}".replace(",", " ")
    where = "this host" if hosts == 1 else "these hosts"
    return f"About {count} sessions of each arm would be needed on {where} for ±0.5 %; use an idle machine"


def _too_few(hosts: Sequence[HostSessions]) -> str:
    most = max(len(host.a) for host in hosts)
    where = "" if len(hosts) == 1 else f" on any of {len(hosts)} hosts"
    found = f"{counted(most, 'session')} of each arm{where}"
    return f"{found}: an interval and a verdict need at least {FEWEST_FOR_AN_INTERVAL}"
