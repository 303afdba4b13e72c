"""A fleet without Ray: one node, in this process, that carries out orders when the driver waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from runner.errors import NoFleet
from runner.fleet import onnode
from runner.fleet.orders import BlockOrder, Delivery, SessionOrder, Terms

Order = SessionOrder | BlockOrder


@dataclass(eq=False)
class Task:
    """An order, and the accelerator type that it asks for."""

    order: Order
    terms: Terms
    accelerator: str | None
    is_stopped: bool = False


@dataclass
class Fleet:
    """Stands in for `cluster.Cluster`. `accelerators` are those of its node, None without any node that takes sessions.

    `carry_out` makes the delivery of an order, or raises what Ray would.
    """

    accelerators: frozenset[str] | None = frozenset()
    carry_out: Callable[[Order, Terms], Delivery] = lambda order, terms: onnode.measure(order, terms, "n1")
    tasks: list[Task] = field(default_factory=list)
    is_stuck: bool = False

    def offered(self) -> frozenset[str]:
        if self.accelerators is None:
            raise NoFleet("no node of the fleet takes sessions")
        return self.accelerators

    def begin(self, order: Order, terms: Terms, accelerator: str | None) -> Task:
        self.tasks.append(Task(order, terms, accelerator))
        return self.tasks[-1]

    def ended(self, tasks: Sequence[Task], _seconds: float) -> list[Task]:
        stopped = [task for task in tasks if task.is_stopped]
        return stopped or ([] if self.is_stuck else [tasks[0]])

    def delivery(self, task: Task) -> Delivery | None:
        return None if task.is_stopped else self.carry_out(task.order, task.terms)

    def stop(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            task.is_stopped = True

    @contextmanager
    def connected(self, _address: str) -> Iterator[Fleet]:
        """Stands in for `cluster.connected`."""
        yield self
