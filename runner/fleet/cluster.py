"""A Ray cluster: connecting to it, the accelerators that its nodes offer, and orders as Ray's tasks.

The only module that imports Ray, and only when it connects.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from runner import failures
from runner.errors import BadValue, MissingPackage, NoFleet, Terminated, WorkerFailed
from runner.fleet import onnode, shipment
from runner.fleet.orders import BlockOrder, Delivery, SessionOrder, Terms
from runner.processes import signals

AUTO, CLIENT = "auto", "ray://"
ADDRESS = re.compile(r"auto|(ray://)?[^\s/:@]+:(?P<port>\d{1,5})")
LAST_PORT = 65_535
CONNECT_S = 10.0
RESOURCE = "decode_floor"
"""Custom resource of which a node that takes sessions has 1, and every session takes all."""
ASKED = f"""ray start … --resources='{{"{RESOURCE}": 1}}'"""
TYPE_PREFIX = "accelerator_type:"
RETRIES = 5
"""Nodes that may be lost under one order."""
STOP_S = 5.0
"""Seconds that stopped sessions have to end their processes before Ray ends them."""

Task = Any
"""Ray's reference to the result of a task."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to. `ray` is the module."""

    ray: Any

    def offered(self) -> frozenset[str]:
        """Returns the accelerator types of the nodes that take sessions now.

        Raises NoFleet if no node takes any.
        """
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        taking = [resources for resources in nodes if resources.get(RESOURCE, 0) >= 1]
        if not taking:
            raise NoFleet(f"no node of the fleet takes sessions: start those that may with {ASKED}")
        with_gpu = (resources for resources in taking if resources.get("GPU", 0) >= 1)
        names = (name for resources in with_gpu for name in resources if name.startswith(TYPE_PREFIX))
        return frozenset(name.removeprefix(TYPE_PREFIX) for name in names)

    def begin(self, order: SessionOrder | BlockOrder, terms: Terms, accelerator: str | None) -> Task:
        """Gives an order to a node with this type of accelerator, or to any node. Ray runs it again elsewhere if the
        node is lost."""
        placed: dict[str, Any] = {} if accelerator is None else {"num_gpus": 1, "accelerator_type": accelerator}
        task = self.ray.remote(measure).options(
            num_cpus=0, resources={RESOURCE: 1}, max_retries=RETRIES, retry_exceptions=False, **placed
        )
        with _answering():
            return task.remote(order, terms)

    def ended(self, tasks: Sequence[Task], seconds: float) -> list[Task]:
        """Returns the tasks that have ended, after at most so many seconds."""
        with _answering():
            found, _ = self.ray.wait(list(tasks), num_returns=len(tasks), timeout=0)
            if not found:
                found, _ = self.ray.wait(list(tasks), num_returns=1, timeout=seconds)
            return list(found)

    def delivery(self, task: Task) -> Delivery | None:
        """Returns what a task that has ended has delivered; None if it was stopped.

        Raises WorkerFailed if it ended without a delivery.
        """
        try:
            with _answering():
                delivery: Delivery = self.ray.get(task)
        except self.ray.exceptions.TaskCancelledError:
            return None
        except self.ray.exceptions.RayError as error:
            raise WorkerFailed(f"the fleet has measured nothing: {_said(error)}: run the same command again") from error
        return delivery

    def stop(self, tasks: Sequence[Task]) -> None:
        """Ends the tasks, and returns when their sessions have ended, or after STOP_S seconds."""
        with suppress(ConnectionError):  # without a connection Ray ends them itself
            for task in tasks:
                self.ray.cancel(task)
            if tasks:
                self.ray.wait(list(tasks), num_returns=len(tasks), timeout=STOP_S)


def measure(order: SessionOrder | BlockOrder, terms: Terms) -> Delivery:
    """Measures the sessions of an order on the node of this process. The function is Ray's task."""
    import ray

    return onnode.measure(order, terms, ray.get_runtime_context().get_node_id()[:8])


@contextmanager
def _answering() -> Iterator[None]:
    """Raises NoFleet if the client server no longer answers."""
    try:
        yield
    except ConnectionError as error:
        raise NoFleet(f"the connection to the fleet was lost ({_said(error)}): run the same command again") from error


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connects this process to a cluster, whose nodes run the code of this process.

    Raises BadValue for an address of another form, MissingPackage without Ray, NoFleet if no cluster answers.
    """
    form = ADDRESS.fullmatch(address)
    if form is None or (form["port"] is not None and not 0 < int(form["port"]) <= LAST_PORT):
        raise BadValue(f"fleet={address}: must be auto, ray://host:port, or the host:port of a head node")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingPackage(
            f"--fleet needs Ray, which {sys.executable} lacks: `{sys.executable} -m pip install -r "
            "requirements/fleet.txt`, or use an interpreter that has it (`mlflow run --env-manager local`)"
        ) from error
    with shipment.packed() as code:
        environment: Mapping[str, Any] = {"working_dir": str(code), "env_vars": shipment.ENVIRONMENT}
        try:
            _check_answers(address)
            with warnings.catch_warnings(action="ignore"):
                ray.init(address, runtime_env=dict(environment), log_to_driver=False, logging_level=logging.ERROR)
        except SystemExit as error:
            raise Terminated("stopped by SIGTERM") from error
        except Exception as error:  # Ray's and gRPC's own
            raise NoFleet(
                f"no Ray cluster at {address} ({_said(error)}): start one with {ASKED}, name its address, or use its "
                "versions of Ray and Python, and its token"
            ) from error
        finally:
            signals.install()  # Ray handles SIGTERM by SystemExit
        try:
            yield Cluster(ray)
        finally:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises OSError if nothing answers at the address. Ray would try for minutes."""
    if address != AUTO:
        host, _, port = address.removeprefix(CLIENT).rpartition(":")
        socket.create_connection((host, int(port)), CONNECT_S).close()


def _said(error: Exception) -> str:
    """Returns the first sentence of an error of Ray's, which may have many lines. One that ends with a colon has what
    follows it."""
    cause = getattr(error, "cause", None) or error
    text = failures.reason(cause) if isinstance(cause, OSError) else str(cause)
    first, *more = list(filter(None, text.splitlines())) or [type(cause).__name__]
    whole = " ".join((first, *more)) if first.endswith(":") else first  # versions follow in lines of their own
    return whole.split(". ")[0].rstrip(". ")
