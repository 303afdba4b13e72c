"""No block overwrites what another one has still to gather: what this rests on, taken away one at a time."""

from dataclasses import replace

import pytest

from runner.fused import exchangecheck, exchanges, geometry, stepplan
from runner.fused.exchanges import Exchange
from runner.fused.stepplan import StepPlan
from tests.support.fusedshapes import H200, everything


def plan_of(name: str) -> StepPlan:
    return stepplan.make(geometry.choose(everything()[name], H200), 300, 1000)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("phase", "found"),
    [
        (exchanges.QKV, ["out may overwrite hidden before another block has gathered it"]),
        (exchanges.SPLIT, []),  # what it gathers is behind the next barrier long before it is overwritten
        (exchanges.OUT, ["out may overwrite hidden before another block has gathered it"]),
        (exchanges.GATE_UP, ["down may overwrite hidden before another block has gathered it"]),
        (exchanges.DOWN, ["down may overwrite hidden before another block has gathered it"]),
    ],
)
def test_barriers_that_the_order_rests_on(phase: str, found: list[str]) -> None:
    step = plan_of("tiny")
    phases = tuple(replace(each, has_barrier=each.has_barrier and each.name != phase) for each in step.phases)
    assert exchangecheck.problems(replace(step, phases=phases)) == found


@pytest.mark.medium
@pytest.mark.parametrize("exchange", exchanges.EXCHANGES, ids=lambda each: f"{each.buffer}-{each.reader}")
def test_an_exchange_of_another_epoch_is_found(exchange: Exchange) -> None:
    step = plan_of("tiny")
    later = replace(exchange, awaited=exchange.awaited + 1)
    changed = tuple(later if each == exchange else each for each in step.exchanges)
    assert exchangecheck.problems(replace(step, exchanges=changed)) == [
        f"{exchange.reader} gathers packets of {exchange.buffer} in an epoch in which no block sends them"
    ]


@pytest.mark.medium
@pytest.mark.parametrize("exchange", exchanges.EXCHANGES, ids=lambda each: f"{each.buffer}-{each.reader}")
def test_an_exchange_that_the_table_lacks_is_found(exchange: Exchange) -> None:
    step = plan_of("tiny")
    others = tuple(each for each in step.exchanges if each != exchange)
    assert exchangecheck.problems(replace(step, exchanges=others))
