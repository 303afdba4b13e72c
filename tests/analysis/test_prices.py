"""Prices that the user gives, and what a million tokens cost."""

from __future__ import annotations

import pytest

from analysis import prices
from runner.cell import catalogue
from runner.errors import BadValue


def test_prices_are_read_by_gpu() -> None:
    assert prices.parse(("l4=0.35", "h100=2")) == {"l4": 0.35, "h100": 2.0}
    assert prices.parse(()) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("h20=0.35",), r"price 'h20=0.35': unknown GPU 'h20'; did you mean h200\? \(allowed: h100, "),
        (("=1",), "unknown GPU ''"),
        (("l4",), "price 'l4' has no '=': write it as GPU=DOLLARS_PER_HOUR, such as l4=0.35"),
        (("l4=0",), "price 'l4=0': '0' is not a positive number: write it as"),
        (("l4=-1",), "'-1' is not a positive number"),
        (("l4=cheap",), "'cheap' is not a positive number"),
        (("l4=nan",), "'nan' is not a positive number"),
        (("l4=inf",), "'inf' is not a positive number"),
        (("l4=",), "'' is not a positive number"),
        (("l4=1", "h100=2", "l4=1"), "l4 has two prices: give it one"),
    ],
)
def test_a_price_that_means_nothing_is_refused(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadValue, match=message):
        prices.parse(texts)


def test_a_million_tokens_cost_their_share_of_an_hour() -> None:
    # 10⁶ tokens · 36 ms = 36 000 s = 10 h; 10 h · 0.35 $/h = 3.50 $
    assert prices.usd_per_mtok("l4", 36.0, {"l4": 0.35}) == pytest.approx(3.5)


def test_the_catalogues_price_holds_where_none_is_given() -> None:
    listed = catalogue.gpus()["h100"].price_usd_per_hour.value
    assert listed is not None
    assert prices.usd_per_mtok("h100", 3.6, {"l4": 0.35}) == pytest.approx(listed)  # 10⁶ · 3.6 ms = 1 h
    assert prices.usd_per_mtok("h100", 3.6, prices.NONE) == pytest.approx(listed)


@pytest.mark.parametrize(("gpu", "step_ms"), [("jetson-thor", 50.0), ("nvidia-x1", 50.0), ("h100", None)])
def test_without_a_price_or_a_step_there_is_no_cost(gpu: str, step_ms: float | None) -> None:
    assert prices.usd_per_mtok(gpu, step_ms, prices.NONE) is None


def test_a_board_that_one_owns_may_be_given_a_price() -> None:
    assert prices.usd_per_mtok("jetson-thor", 36.0, {"jetson-thor": 0.1}) == pytest.approx(1.0)
