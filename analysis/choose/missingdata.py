"""The measurements that give a ruling the data that it lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.choose import ruling
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.choose.worstsession import FEWEST_SESSIONS
from runner.cell import catalogue, protocol
from runner.cell.vocabulary import TAILS
from runner.record.quantiles import CONFIDENCE

CELL = "python -m runner cell"
SIMPLE = {
    ruling.UNCERTAIN: f"measure such cells with `{CELL}`",
    ruling.NO_ENERGY: f"measure the energy of such cells with `{CELL} --energy`",
    ruling.NO_PRICE: "state the price of the GPU with --price GPU=DOLLARS",
}
LEAST_TAU = 2
"""Autocorrelation time of steps that is allowed for at least."""
HOPELESS = "as no session can have enough steps"


def expected_tau(rows: Sequence[ChooseRow]) -> int:
    """Returns the autocorrelation time in steps to allow for: the longest one in these rows, at least `LEAST_TAU`."""
    return max([LEAST_TAU, *(math.ceil(row.tau) for row in rows if row.tau is not None)])


def remedy(word: str, limits: Limits, rows: Sequence[ChooseRow]) -> str:
    """Returns what to do about a ruling with this word, which these rows of one model and ctx have for want of data."""
    return SIMPLE[word] if word in SIMPLE else _more_steps(limits, rows[0].model, rows[0].ctx, expected_tau(rows))


def chunks_needed(miss: float | None, tau: int) -> int:
    """Returns the chunks, none of them late, that bound the probability of a miss at `miss`; one without a limit.

    (1 - p)^n is the chance that none of n independent chunks is late; the bound is the p for which it is 5 %.
    """
    return 1 if miss is None else math.ceil(tau * math.log(1 - CONFIDENCE) / math.log1p(-miss))


def _more_steps(limits: Limits, model: str, ctx: int, tau: int) -> str:
    """Returns the protocol, or the steps of one, that can bound the probability of a miss."""
    needed, tokens = chunks_needed(limits.miss, tau), limits.tokens
    for name in TAILS:
        counts = protocol.NAMED[name]
        if counts.windows * (counts.steps // tokens) >= needed:
            return _sessions(f"--protocol {name}", tau)
    counts = protocol.NAMED[TAILS[0] if needed == 1 else TAILS[-1]]
    steps = tokens * math.ceil(needed / counts.windows)
    known = catalogue.models().get(model)
    if known is not None and ctx + counts.warmup + steps > known.shape.max_positions:
        return f"{'raise --miss' if tokens == 1 else 'lower --tokens or raise --miss'}, {HOPELESS}"
    return _sessions(f"--protocol {counts.name} --steps {steps}", tau)


def _sessions(options: str, tau: int) -> str:
    return f"measure at least {FEWEST_SESSIONS} sessions of a cell with `{CELL} {options}`, enough for τ ≤ {tau}"
