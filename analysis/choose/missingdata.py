"""The measurements that give a ruling the data that it lacks."""

from __future__ import annotations

import math

from analysis.choose import ruling
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
EXPECTED_TAU = 2
"""Autocorrelation time of steps that is allowed for."""
HOPELESS = "lower --tokens or raise --miss, as no session can have enough steps"


def remedy(word: str, limits: Limits, model: str, ctx: int) -> str:
    """Returns what to do about a ruling with this word, which lacks data about a cell of this model and ctx."""
    return SIMPLE[word] if word in SIMPLE else _more_steps(limits, model, ctx)


def chunks_needed(miss: float | None) -> int:
    """Returns the chunks, none of them late, that bound the probability of a miss at `miss`; one without a limit.

    (1 - p)^n is the chance that none of n independent chunks is late; the bound is the p for which it is 5 %.
    """
    return 1 if miss is None else math.ceil(EXPECTED_TAU * math.log(1 - CONFIDENCE) / math.log1p(-miss))


def _more_steps(limits: Limits, model: str, ctx: int) -> str:
    """Returns the protocol, or the steps of one, that can bound the probability of a miss."""
    needed, tokens = chunks_needed(limits.miss), limits.tokens
    for name in TAILS:
        counts = protocol.NAMED[name]
        if counts.windows * (counts.steps // tokens) >= needed:
            return _sessions(f"--protocol {name}")
    counts = protocol.NAMED[TAILS[0] if needed == 1 else TAILS[-1]]
    steps = tokens * math.ceil(needed / counts.windows)
    known = catalogue.models().get(model)
    if known is not None and ctx + counts.warmup + steps > known.shape.max_positions:
        return HOPELESS
    return _sessions(f"--protocol {counts.name} --steps {steps}")


def _sessions(options: str) -> str:
    return f"measure at least {FEWEST_SESSIONS} sessions of a cell with `{CELL} {options}`"
