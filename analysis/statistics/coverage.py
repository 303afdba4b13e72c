"""Coverage of the interval and power of the verdict, from simulated A/Bs with a known ratio (docs/statistics.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.percent import percent
from analysis.statistics import comparison, noise
from analysis.statistics.noise import NORMAL, Noise, TwoSpeeds
from runner.counts import counted

Floats = NDArray[np.float64]
Arms = list[tuple[Floats, Floats]]

TAIL, SPEEDS, HARSH = "long tail", "two speeds", "harsh"
HARSH_SHAPE = TwoSpeeds(0.3, 10.0)  # harsher than the fitted shapes: several hosts with few sessions fail here
SIMULATIONS = 20_000
BOOTSTRAP_SIMULATIONS = 1_000
BOOTSTRAP_RESAMPLES = 999
SESSIONS = (5, 10, 20)
RATIO = 1.25
VARIATIONS = ((0.005, 0.005), (0.005, 0.0025), (0.05, 0.005), (0.2, 0.0015))
HOSTS = ((10, 2), (20, 2), (20, 4))  # sessions of each arm, number of hosts
POWER_SESSIONS, POWER_VARIATION, EFFECT = 10, 0.005, 0.03


@dataclass(frozen=True)
class Setting:
    """One kind of A/B: noise, coefficients of variation of the arms, sessions of each arm, hosts, and drift.

    `drift` is the slowdown of a host from its first to its last session, in units of arm a's variation.
    """

    noise: str
    cv_a: float
    cv_b: float
    sessions: int
    hosts: int = 1
    drift: float = 0.0


def settings(name: str) -> Iterator[Setting]:
    """Yields a setting for each simulated variation, number of sessions, number of hosts and drift, with the noise
    `name`."""
    for cv_a, cv_b in VARIATIONS:
        yield from (Setting(name, cv_a, cv_b, count) for count in SESSIONS)
    for cv_a, cv_b in (VARIATIONS[0], VARIATIONS[-1]):
        yield from (Setting(name, cv_a, cv_b, count, hosts) for count, hosts in HOSTS)
        yield from (Setting(name, cv_a, cv_b, count, drift=1.0) for count in SESSIONS)


def simulate(setting: Setting, source: Noise, ratio: float, simulations: int, seed: int = 0) -> Arms:
    """Returns log session medians of both arms, one pair of [simulations, sessions of the host] per host."""
    generator = np.random.default_rng(seed)
    count = setting.sessions // setting.hosts
    size = (simulations, count)
    late_a, late_b = _drifts(count, setting.drift * setting.cv_a)
    return [
        (
            math.log(ratio) + source.draw(generator, size, setting.cv_a) + late_a,
            source.draw(generator, size, setting.cv_b) + late_b,
        )
        for _ in range(setting.hosts)
    ]


def _drifts(count: int, whole: float) -> tuple[Floats, Floats]:
    """Returns the offsets that a linear slowdown adds to the sessions of a and b in the order abba baab …, centred."""
    letters = np.array(list("abbabaab" * count)[: 2 * count])  # an odd count ends with one session of each
    offsets = whole * np.linspace(-0.5, 0.5, len(letters))
    return offsets[letters == "a"], offsets[letters == "b"]


def share_covered(arms: Arms, ratio: float) -> float:
    """Returns the share of simulations whose interval contains the ratio."""
    low, high = comparison.log_interval(arms)
    return _share(low, high, ratio)


def _share(low: Floats, high: Floats, ratio: float) -> float:
    return float(np.mean((low <= math.log(ratio)) & (math.log(ratio) <= high)))


def share_covered_by_welch(arms: Arms, ratio: float) -> float:
    """Returns the same share for Welch's t interval on the logs. `ratio` is that of the arms' geometric means."""
    from scipy.stats import t

    ((a, b),) = arms
    count = a.shape[1]
    errors = [np.var(arm, axis=1, ddof=1) / count for arm in (a, b)]
    total = errors[0] + errors[1]
    freedom = total**2 * (count - 1) / (errors[0] ** 2 + errors[1] ** 2)
    middle, half = a.mean(axis=1) - b.mean(axis=1), t.ppf(0.975, freedom) * np.sqrt(total)
    return _share(middle - half, middle + half, ratio)


def share_covered_by_bca(arms: Arms, ratio: float) -> float:
    """Returns the same share for scipy's BCa bootstrap of the ratio of medians, as the paper uses it."""
    from scipy.stats import bootstrap

    def difference(a: Floats, b: Floats, axis: int) -> Any:
        return np.median(a, axis=axis) - np.median(b, axis=axis)

    (host,) = arms
    with np.errstate(invalid="ignore", divide="ignore"):
        interval = bootstrap(
            host, difference, axis=1, n_resamples=BOOTSTRAP_RESAMPLES, batch=100, rng=0, vectorized=True
        ).confidence_interval
    return _share(interval.low, interval.high, ratio)


@dataclass(frozen=True)
class Power:
    """Shares of simulated A/Bs that end in each verdict if the true ratio is `ratio`."""

    noise: str
    ratio: float
    faster: float
    slower: float
    same: float
    ambiguous: float


def power(name: str, source: Noise, ratio: float, simulations: int) -> Power:
    """Returns the shares for ten sessions of each arm, a variation of 0.5 % between sessions and a threshold of 1 %."""
    setting = Setting(name, POWER_VARIATION, POWER_VARIATION, POWER_SESSIONS)
    low, high = comparison.log_interval(simulate(setting, source, ratio, simulations))
    band = math.log1p(comparison.THRESHOLD)
    faster, slower = float(np.mean(low > band)), float(np.mean(high < -band))
    same = float(np.mean((-band <= low) & (high <= band)))
    return Power(name, ratio, faster, slower, same, 1 - faster - slower - same)


def report(groups: Sequence[Floats]) -> dict[str, Any]:
    """Returns everything that docs/statistics.md shows: fitted noise, coverage by setting, power."""
    fitted = {TAIL: noise.fit(groups, noise.TAILS), SPEEDS: noise.fit(groups, noise.SPEEDS)}
    normal = noise.log_likelihood(NORMAL, groups)
    sources = {name: noise.standardised(shape) for name, shape in {"normal": NORMAL, **fitted}.items()}
    rows = [_coverage_row(setting, sources[name]) for name in sources for setting in settings(name)]
    harsh = noise.standardised(HARSH_SHAPE)
    rows += [_coverage_row(Setting(HARSH, *VARIATIONS[-1], count, hosts), harsh) for count, hosts in HOSTS]
    return {
        "noise": {
            "groups": len(groups),
            "sessions": sum(map(len, groups)),
            "fitted": {
                name: {
                    **asdict(shape),
                    "log_likelihood_over_normal": round(noise.log_likelihood(shape, groups) - normal, 2),
                }
                for name, shape in fitted.items()
            },
        },
        "simulations": SIMULATIONS,
        "bootstrap_simulations": BOOTSTRAP_SIMULATIONS,
        "coverage": rows,
        "power": [asdict(power(name, sources[name], ratio, SIMULATIONS)) for name in sources for ratio in _ratios()],
    }


def _ratios() -> tuple[float, ...]:
    return 1.0, 1 + EFFECT, 1 / (1 + EFFECT)


def _coverage_row(setting: Setting, source: Noise) -> dict[str, Any]:
    arms = simulate(setting, source, RATIO, SIMULATIONS)
    few = [(a[:BOOTSTRAP_SIMULATIONS], b[:BOOTSTRAP_SIMULATIONS]) for a, b in arms]
    one_host = setting.hosts == 1
    ratio_of_means = RATIO * math.exp(source.mean * (setting.cv_a - setting.cv_b))
    return {
        **asdict(setting),
        "covered": round(share_covered(arms, RATIO), 4),
        "covered_by_bca": round(share_covered_by_bca(few, RATIO), 3) if one_host else None,
        "covered_by_welch": round(share_covered_by_welch(arms, ratio_of_means), 4) if one_host else None,
    }


def markdown(results: Mapping[str, Any]) -> str:
    """Returns the report's tables as Markdown."""
    fit = results["noise"]
    tail, speeds = fit["fitted"][TAIL], fit["fitted"][SPEEDS]
    lines = [
        f"Noise fitted to {counted(fit['sessions'], 'session')} in {counted(fit['groups'], 'group')}, "
        "and its log likelihood relative to normal noise:",
        "",
        f"- {TAIL}: skew {tail['skew']:g}, {tail['freedom']:g} degrees of freedom; "
        f"{tail['log_likelihood_over_normal']:g}",
        f"- {SPEEDS}: {percent(speeds['share'])} of the sessions slower by {speeds['distance']:g} standard deviations "
        f"of the others; {speeds['log_likelihood_over_normal']:g}",
        f"- {HARSH} is not fitted: {percent(HARSH_SHAPE.share)} of the sessions slower by {HARSH_SHAPE.distance:g}",
        "",
        f"Share of {results['simulations']} simulated A/Bs whose interval contains the true ratio "
        f"(of {results['bootstrap_simulations']} for BCa):",
        "",
        "| noise | CV a | CV b | N | hosts | drift | ours | BCa | Welch |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["coverage"]:
        names = [row["noise"], percent(row["cv_a"], ".2%"), percent(row["cv_b"], ".2%"), row["sessions"], row["hosts"]]
        shares = [_percent(row[name]) for name in ("covered", "covered_by_bca", "covered_by_welch")]
        lines.append("| " + " | ".join(map(str, [*names, f"{row['drift']:g}", *shares])) + " |")
    lines += [
        "",
        f"Verdicts at N = {POWER_SESSIONS}, CV {percent(POWER_VARIATION, '.1%')}, "
        f"threshold {percent(comparison.THRESHOLD)}:",
        "",
        "| noise | true ratio | FASTER | SLOWER | SAME | AMBIGUOUS |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["power"]:
        shares = [_percent(row[name]) for name in ("faster", "slower", "same", "ambiguous")]
        lines.append(f"| {row['noise']} | {row['ratio']:.3f} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share, ".1%")
