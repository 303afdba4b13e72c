"""Coverage of the bound on the probability of a missed deadline, from simulated sessions (docs/statistics.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.percent import percent
from analysis.statistics.autocorrelationtimes import automatic_window, initial_monotone
from analysis.statistics.tailprocesses import SLOWER, Autoregressive, Bursts, Floats, Periodic, Process, deadline
from runner.cell.protocol import NAMED
from runner.record import tails
from runner.record.autocorrelation import Indicators, autocovariances, initial_positive
from runner.record.quantiles import CONFIDENCE

TRIALS = 1_000
SESSIONS = 3
"""Sessions of a trial. The reported bound is the largest of theirs."""
STEPS = NAMED["tail"].steps
WINDOWS = (1, 10)
TOKENS = (1, 8)
PROBABILITIES = (0.1, 0.01, 0.001)
PROCESSES: tuple[Process, ...] = (
    *map(Autoregressive, (0.0, 0.3, 0.6, 0.9)),
    *(Periodic(10, 1), Periodic(100, 1), Periodic(50, 5), Periodic(100, 10)),
    *(Bursts(0.1, 3), Bursts(0.1, 10), Bursts(0.02, 10), Bursts(0.01, 5)),
)
RARE = (Bursts(0.1, 30), Bursts(0.02, 10), Bursts(0.03, 30))
"""Bursts of which 300 steps have one or none: the bound fails where no session has seen any."""
POSITIVE, MONOTONE, WINDOW, P90 = "initial positive", "initial monotone", "automatic window", "of 1[t > p90] alone"
OTHERS = (MONOTONE, WINDOW, P90)
"""Estimators that ours, the first, is compared with."""


@dataclass(frozen=True)
class Setting:
    """A simulated process, the windows of a session, the steps of a chunk and the probabilities to miss a deadline."""

    process: Process
    windows: int
    tokens: int
    probabilities: tuple[float, ...] = PROBABILITIES
    rare: bool = False


def settings() -> Iterator[Setting]:
    """Yields every simulated setting."""
    for tokens in TOKENS:
        for process in PROCESSES:
            yield from (Setting(process, windows, tokens) for windows in WINDOWS)
    for process in RARE:
        yield from (Setting(process, windows, 1, (process.share,), rare=True) for windows in WINDOWS)


ESTIMATORS = {POSITIVE: initial_positive, MONOTONE: initial_monotone, WINDOW: automatic_window}


@dataclass(frozen=True)
class Sessions:
    """Chunks missed and autocorrelation times of simulated sessions: [trials, sessions, probabilities]."""

    chunks: int
    missed: NDArray[np.int64]
    times: Mapping[str, Floats]
    """by estimator"""

    def bounds(self, estimator: str) -> Floats:
        """Returns the upper bounds as `tails.miss` computes them, all at once."""
        from scipy.special import betaincinv

        time = self.times[estimator]
        kept = self.chunks - self.missed
        some = np.maximum(kept, 1) / time
        return np.where(kept > 0, betaincinv(self.missed / time + 1, some, CONFIDENCE), 1.0)


def simulate(setting: Setting, trials: int, seed: int = 0) -> Sessions:
    """Returns the sessions of this many trials."""
    generator = np.random.default_rng(seed)
    drawn = setting.process.draw(generator, (trials, SESSIONS, setting.windows, STEPS))
    per_window = STEPS // setting.tokens
    used = drawn[..., : per_window * setting.tokens]
    chunks = used.reshape(*drawn.shape[:-1], per_window, setting.tokens).sum(axis=-1)
    deadlines = [deadline(setting.process, one, setting.tokens) for one in setting.probabilities]
    missed = np.stack([np.sum(chunks > one, axis=(2, 3)) for one in deadlines], axis=-1)
    found = np.array([[_times(windows.tolist(), deadlines) for windows in trial] for trial in chunks])
    of_p90, of_deadline = found[:, :, :1], found[:, :, 1:]
    longest = np.maximum(of_p90, of_deadline)
    times = {name: longest[..., index] for index, name in enumerate(ESTIMATORS)}
    alone = np.broadcast_to(of_p90[..., 0], missed.shape)
    return Sessions(setting.windows * per_window, missed, {**times, P90: alone})


def _times(windows: tails.Windows, deadlines: Iterable[float]) -> list[list[float]]:
    """Returns the autocorrelation times of 1[t > p90], and then of 1[t > deadline], by each estimator."""
    series = [tails.slowest(windows), *(tails.longer(windows, one) for one in deadlines)]
    return [_by_estimator(one) for one in series]


def _by_estimator(series: Indicators) -> list[float]:
    copies = tee(autocovariances(series), len(ESTIMATORS))
    return [estimator(copy) for estimator, copy in zip(ESTIMATORS.values(), copies, strict=True)]


def report(trials: int = TRIALS) -> dict[str, Any]:
    """Returns everything that the section on tails in docs/statistics.md shows."""
    return {
        "trials": trials,
        "sessions": SESSIONS,
        "steps": STEPS,
        "confidence": CONFIDENCE,
        "slower": SLOWER,
        "coverage": [row for setting in settings() for row in rows(setting, trials)],
    }


def rows(setting: Setting, trials: int) -> Iterator[dict[str, Any]]:
    """Yields a row for each probability of a setting."""
    found = simulate(setting, trials)
    shares = {name: _shares(found.bounds(name), setting.probabilities) for name in found.times}
    unseen = np.mean(found.missed.sum(axis=1) == 0, axis=0)
    worst = np.median(found.bounds(POSITIVE).max(axis=1), axis=0)
    for index, probability in enumerate(setting.probabilities):
        covered, by_one = (share[index] for share in shares[POSITIVE])
        low, high = _interval(covered, trials)
        yield {
            "process": setting.process.name,
            "windows": setting.windows,
            "tokens": setting.tokens,
            "probability": probability,
            "rare": setting.rare,
            "tau": round(float(np.median(found.times[POSITIVE][..., index])), 2),
            "unseen": round(float(unseen[index]), 4),
            "covered": round(covered, 4),
            "covered_low": round(low, 4),
            "covered_high": round(high, 4),
            "covered_by_one": round(by_one, 4),
            "looseness": round(float(worst[index]) / probability, 3),
            "others": {name: [round(share[index], 4) for share in shares[name]] for name in OTHERS},
        }


def _shares(bounds: Floats, probabilities: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns the shares of trials whose largest bound, and of sessions whose bound, is at least the probability."""
    held = bounds >= np.array(probabilities)
    return held.any(axis=1).mean(axis=0).tolist(), held.mean(axis=(0, 1)).tolist()


def _interval(share: float, trials: int) -> tuple[float, float]:
    """Returns the 95 % Clopper-Pearson interval of a share of trials."""
    from scipy.stats import binomtest

    interval = binomtest(round(share * trials), trials).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)


def markdown(results: Mapping[str, Any]) -> str:
    """Returns the report's tables as Markdown."""
    found = results["coverage"]
    usual, rare = ([row for row in found if row["rare"] is flag] for flag in (False, True))
    lines = [
        f"Share of {results['trials']} trials whose reported bound, the largest of {results['sessions']} sessions, is "
        "at least",
        "the true probability (95 % interval of the share); share of single sessions; median of the reported bound /",
        "probability. N steps are one chunk:",
        "",
        f"| process | steps | N | {' | '.join(f'to miss {100 * one:g} %' for one in PROBABILITIES)} |",
        f"|---|---|---|{'---|' * len(PROBABILITIES)}",
        *(_line(group, results["steps"]) for group in _by_setting(usual)),
        "",
        f"Bursts of which {results['steps']} steps have one or none, and a deadline that every slow step misses; share "
        "of trials in",
        "which no session has a slow step; the rest as above:",
        "",
        "| process | steps | to miss | unseen | covered |",
        "|---|---|---|---|---|",
        *(
            f"| {row['process']} | {_steps(row, results['steps'])} | {100 * row['probability']:g} % "
            f"| {_percent(row['unseen'])} | {_cell(row)} |"
            for row in rare
        ),
        "",
        "Estimators of τ, over the first table: lowest share of the reported bound, lowest and mean share of single "
        "sessions:",
        "",
        "| τ | reported, lowest | single, lowest | single, mean |",
        "|---|---|---|---|",
        *(_estimator_line(name, usual) for name in (POSITIVE, *OTHERS)),
    ]
    return "\n".join(lines) + "\n"


def _by_setting(found: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    for _, group in groupby(found, key=lambda row: (row["process"], row["windows"], row["tokens"])):
        yield list(group)


def _line(group: Sequence[Mapping[str, Any]], steps: int) -> str:
    first = group[0]
    names = [first["process"], _steps(first, steps), str(first["tokens"])]
    return f"| {' | '.join([*names, *map(_cell, group)])} |"


def _steps(row: Mapping[str, Any], steps: int) -> str:
    return f"{row['windows']} × {steps}" if row["windows"] > 1 else str(steps)


def _cell(row: Mapping[str, Any]) -> str:
    low, high = (f"{100 * row[name]:.1f}" for name in ("covered_low", "covered_high"))
    return f"{_percent(row['covered'])} ({low}–{high}); {_percent(row['covered_by_one'])}; {row['looseness']:.3g}"


def _estimator_line(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    reported, single = zip(
        *((row["covered"], row["covered_by_one"]) if name == POSITIVE else row["others"][name] for row in found),
        strict=True,
    )
    return f"| {name} | {_percent(min(reported))} | {_percent(min(single))} | {_percent(float(np.mean(single)))} |"


def _percent(share: float) -> str:
    return percent(share, ".1%")
