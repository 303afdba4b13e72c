"""Gives the orders of all series to a cluster, and takes their deliveries as they come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from runner import errors
from runner.cell.vocabulary import CPU
from runner.errors import DecodeFloorError, DiskFull, Failure, GpuNotFound, NoFleet, StoreUnreachable
from runner.fleet import accelerators
from runner.fleet.cluster import Cluster, Task
from runner.fleet.fleetseries import FleetSeries
from runner.fleet.orders import Delivery, Terms
from runner.launch.series import Ended, OnSession, TimeLimit
from runner.launch.session import Display
from runner.processes import signals
from runner.record.sessionrecord import MeasuredRecord

WAIT_S = 1.0
"""Seconds between looks at the signals of this process."""
LOOK_S = 10.0
"""Seconds between looks at the nodes."""
PATIENCE_S = 60.0
"""Seconds for which an order waits if no node could take it, because the last one that could was lost."""


class Dispatch:
    """The orders of a command. `terms` hold for all of them."""

    def __init__(self, cluster: Cluster, terms: Terms, limit: TimeLimit, on_session: OnSession, shown: Display) -> None:
        self._cluster, self._on_session, self._shown = cluster, on_session, shown
        left_s = None if limit.end_s is None else limit.end_s - time.monotonic()
        self._terms = replace(terms, end_ms=None if left_s is None else int(1000 * (time.time() + left_s)))
        self._ended = Ended()
        self._running: dict[Task, FleetSeries] = {}
        self._held: dict[int, ExitStack] = {}
        self._waited: set[str] = set()
        self._looked_s = time.monotonic()
        self._absent_since_s: dict[str, float] = {}

    def run(self, series: Sequence[FleetSeries]) -> Ended:
        """Measures the series, until none of their sessions is missing. Each ends with its first error.

        Raises DiskFull, since no record can be written then, and the errors of a request to stop. Sessions that still
        run then are stopped, and leave no record.
        """
        try:
            for each in series:
                self._open(each)
            while self._running:
                self._look_at_nodes()
                with signals.held():  # a signal's error inside Ray would not reach us
                    ended = self._cluster.ended(tuple(self._running), WAIT_S)
                for task in ended:
                    self._take(task, self._running.pop(task))
        finally:
            with signals.held():
                self._cluster.stop(tuple(self._running))
            for each in series:
                self._close(each)
        return self._ended

    def _open(self, series: FleetSeries) -> None:
        """Holds what the series needs, and gives its first orders."""
        self._held[id(series)] = ExitStack()
        try:
            self._held[id(series)].enter_context(series.opened())
            self._order(series)
        except DiskFull:
            raise
        except DecodeFloorError as error:
            self._end(series, error)

    def _close(self, series: FleetSeries) -> None:
        try:
            self._held.pop(id(series), ExitStack()).close()
        except StoreUnreachable as error:
            self._ended.store_error = error

    def _order(self, series: FleetSeries) -> None:
        """Gives all orders of a series that do not depend on a delivery."""
        accelerator = None if series.gpu == CPU else accelerators.types()[series.gpu]
        while (order := series.next_order()) is not None:
            terms = replace(self._terms, expected_s=series.expected_s() or self._ended.longest_s)
            with signals.held():
                self._running[self._cluster.begin(order, terms, accelerator)] = series

    def _take(self, task: Task, series: FleetSeries) -> None:
        """Takes the delivery of a task that has ended, and gives the orders that depend on it."""
        try:
            with signals.held():
                delivery = self._cluster.delivery(task)
            if delivery is None:
                return
            self._ended.at_limit = self._ended.at_limit or delivery.is_late
            error = self._sessions(series, delivery) or _fault(delivery)
            if error is not None:
                self._end(series, error)
            elif not (delivery.is_late or self._has_ended(series)):
                self._order(series)
        except DiskFull:
            raise
        except DecodeFloorError as error:
            self._end(series, error)

    def _sessions(self, series: FleetSeries, delivery: Delivery) -> Failure | None:
        """Takes the sessions of a delivery. Returns the error of one that ends the series."""
        self._show_notes(delivery)
        last: Failure | None = None
        for finished in series.take(delivery):
            self._on_session(series, finished)
            if isinstance(finished.record, MeasuredRecord):
                self._ended.longest_s = max(finished.record.cost_s.total, self._ended.longest_s or 0.0)
            error = finished.error
            if isinstance(finished.store_error, StoreUnreachable):
                self._ended.store_error = finished.store_error
            if error is not None and not isinstance(error, StoreUnreachable) and series.ends_with(error):
                last = error
        return last

    def _show_notes(self, delivery: Delivery) -> None:
        """Shows the notes of a node, and that it waited for another process only the first time."""
        texts = delivery.notes
        if delivery.waited is not None and delivery.node not in self._waited:
            self._waited.add(delivery.node)
            texts = (delivery.waited, *texts)
        for text in texts:
            self._shown.note(f"node {delivery.node}: {text}")

    def _end(self, series: FleetSeries, error: Failure) -> None:
        """Ends a series with its first error. Its other sessions are stopped; one that ends all the same counts."""
        if not self._has_ended(series):
            self._ended.errors.append((series, error))
        with signals.held():
            self._cluster.stop([task for task, each in self._running.items() if each is series])

    def _has_ended(self, series: FleetSeries) -> bool:
        return any(each is series for each, _ in self._ended.errors)

    def _look_at_nodes(self) -> None:
        """Ends the series for which no node has been left for PATIENCE_S."""
        now_s = time.monotonic()
        if now_s < self._looked_s + LOOK_S:
            return
        self._looked_s = now_s
        series = [*dict.fromkeys(self._running.values())]
        lost = {each.gpu for each in series} - self._measurable()
        self._absent_since_s = {gpu: self._absent_since_s.get(gpu, now_s) for gpu in lost}
        for each in series:
            if now_s - self._absent_since_s.get(each.gpu, now_s) >= PATIENCE_S:
                self._end(each, GpuNotFound(f"the last node of the fleet that could measure on {each.gpu} was lost"))

    def _measurable(self) -> set[str]:
        """Returns the GPUs, and the CPU, of the nodes that take sessions now."""
        try:
            with signals.held():
                offered = self._cluster.offered()
        except NoFleet:
            return set()
        return {CPU, *(gpu for gpu, kind in accelerators.types().items() if kind in offered)}


def _fault(delivery: Delivery) -> Failure | None:
    """Returns the error of a node that left no record of it."""
    fault = delivery.fault
    return None if fault is None else errors.of_reason(fault.reason)(f"node {delivery.node}: {fault.message}")
