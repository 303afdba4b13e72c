"""Cells and A/Bs as orders, and their deliveries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.ab import manifest
from runner.errors import BadPair, InvalidSession, OutOfMemory, StoreUnreachable
from runner.fleet import arrivals, fleetseries
from runner.fleet.fleetseries import FleetCell, FleetPair
from runner.fleet.nodes import Nodes
from runner.fleet.onnode import measure
from runner.fleet.orders import BlockOrder, Delivery, Terms
from runner.launch.session import Settings
from runner.record import codekey
from runner.study import prepared
from runner.study.declared import Arms, Entry
from tests.support import standins
from tests.support.studies import entry, study

pytestmark = pytest.mark.medium
TERMS = Terms(codekey.tree_key(), False, 60.0)
DIFFERING = Arms("cache", "dynamic", "static")


def series(settings: Settings, *entries: Entry) -> list[Any]:
    found = prepared.prepare(study(*entries), settings.spool, Nodes(()), redo=False, retry=False)
    return [each for each, _ in fleetseries.missing_series(found, settings)]


def test_all_sessions_of_a_cell_are_ordered_at_once(worker: standins.Worker, settings: Settings) -> None:
    (cell,) = series(settings, entry())
    assert isinstance(cell, FleetCell)
    orders = [cell.next_order() for _ in range(4)]
    assert [order and order.index for order in orders] == [0, 1, 2, None]
    assert (cell.gpu, cell.remaining(), cell.expected_s()) == ("cpu", 3, None)
    (finished,) = cell.take(measure(orders[1], TERMS))  # type: ignore[arg-type]
    assert (finished.record.session.index, finished.path.exists()) == (1, True)
    assert (cell.remaining(), cell.expected_s(), worker.count) == (2, finished.record.cost_s.total, 1)
    assert cell.next_order() is None
    assert not cell.ends_with(InvalidSession("x"))
    assert cell.ends_with(OutOfMemory("x"))


def test_the_next_block_follows_the_delivery_of_the_one_before(worker: standins.Worker, settings: Settings) -> None:
    (pair,) = series(settings, entry(DIFFERING))
    assert isinstance(pair, FleetPair)
    with pair.opened():
        first = pair.next_order()
        assert isinstance(first, BlockOrder)
        assert (first.count, first.records, pair.next_order()) == (4, {}, None)
        assert pair.remaining() == 6
        left = []
        values = []
        for _ in pair.take(measure(first, TERMS)):
            left.append(pair.remaining())
            values.append(pair.measured_arm.value)
        assert left == [5, 4, 3, 2]
        assert values == ["dynamic", "static", "static", "dynamic"]
        second = pair.next_order()
        assert isinstance(second, BlockOrder)
        assert (second.count, len(second.records)) == (2, 4)
        assert len(list(pair.take(measure(second, TERMS)))) == 2
        assert (pair.is_complete, pair.next_order(), pair.remaining()) == (True, None, 0)
    written = manifest.read(pair.folder / "ab.json")
    assert [len(block.sessions) for block in written.blocks] == [4, 2]
    assert worker.count == 6


def test_a_command_continues_after_the_blocks_that_it_finds(worker: standins.Worker, settings: Settings) -> None:
    (pair,) = series(settings, entry(DIFFERING))
    with pair.opened():
        list(pair.take(measure(pair.next_order(), TERMS)))
    (again,) = series(settings, entry(DIFFERING))
    with again.opened():
        assert again.remaining() == 2
        assert len(again.next_order().records) == 4
    assert worker.count == 4


def test_an_ab_that_another_command_has_changed_takes_nothing(worker: standins.Worker, settings: Settings) -> None:
    (pair,) = series(settings, entry(DIFFERING))
    with pair.opened():
        first = measure(pair.next_order(), TERMS)
        list(pair.take(first))
        assert first.manifest is not None
        other = replace(first, manifest=manifest.declare(pair_of(pair), 3, 0).text)
        with pytest.raises(BadPair, match="returned another A/B"):
            list(pair.take(other))
    assert worker.count == 4


def test_an_older_delivery_that_is_stored_again_leaves_the_manifest(
    worker: standins.Worker, settings: Settings
) -> None:
    """The store was away for the first block alone."""
    outages = [StoreUnreachable("away")]

    def commit(*_: Any) -> str:
        if outages:
            raise outages.pop()
        return "run"

    stored = replace(settings, commit=commit)
    (pair,) = series(stored, entry(DIFFERING))
    with pair.opened():
        while (order := pair.next_order()) is not None:
            list(pair.take(measure(order, TERMS)))
    assert len(list(arrivals.left(stored))) == 4
    assert [len(block.sessions) for block in manifest.read(pair.folder / "ab.json").blocks] == [4, 2]
    assert (worker.count, list(arrivals.left(stored))) == (6, [])


def pair_of(series: FleetPair) -> Any:
    from runner.ab import arms

    request = entry().request
    assert series.planned == 3
    return arms.pair(request, DIFFERING.field, DIFFERING.a, DIFFERING.b, ())


def test_a_delivery_without_sessions_changes_nothing(worker: standins.Worker, settings: Settings) -> None:
    (cell,) = series(settings, entry())
    assert list(cell.take(Delivery("n1"))) == []
    assert (cell.remaining(), worker.count) == (3, 0)
