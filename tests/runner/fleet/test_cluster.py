"""Connecting to a Ray cluster, and its tasks; the last test with a real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from runner.errors import BadValue, MissingPackage, NoFleet, Terminated, WorkerFailed
from runner.fleet.cluster import Cluster, connected
from runner.fleet.orders import Delivery, SessionOrder, Terms
from runner.plan.request import Request
from runner.processes import signals
from tests.support.stores import free_port

ORDER, TERMS = SessionOrder(Request(gpu="cpu"), 0, "0" * 12), Terms("0" * 12, False, 60.0)


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {name.replace("__", ":"): value for name, value in resources.items()}}


def found(*nodes: dict[str, Any]) -> Cluster:
    return Cluster(SimpleNamespace(nodes=lambda: list(nodes)))


def test_the_accelerators_of_nodes_that_take_sessions_are_offered() -> None:
    one = node(decode_floor=1, GPU=2, accelerator_type__H100=1)
    assert found(
        one,
        node(decode_floor=1, GPU=0, accelerator_type__L4=1),  # its GPUs are given to nobody
        node(GPU=1, accelerator_type__A100=1),  # takes no sessions
        node(alive=False, decode_floor=1, GPU=1, accelerator_type__L40S=1),
        node(decode_floor=1),
    ).offered() == {"H100"}
    assert found(node(decode_floor=1)).offered() == frozenset()


def test_a_cluster_whose_nodes_take_no_sessions_is_none() -> None:
    with pytest.raises(NoFleet, match=r"no node of the fleet takes sessions: .* --resources='\{\"decode_floor\": 1\}'"):
        found(node(GPU=1, accelerator_type__A100=1)).offered()


def test_a_lost_connection_is_told_and_stopping_goes_on_without_it() -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError("Client is shutting down. Bye")

    gone = Cluster(SimpleNamespace(wait=lost, cancel=lost))
    with pytest.raises(NoFleet, match=r"was lost \(Client is shutting down\): run the same command again"):
        gone.ended(["task"], 1.0)
    gone.stop(["task"])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "local",
        "ray://host",
        "http://host:1",
        "host",
        "host:x",
        "u@host:1",
        "a b:1",
        "host:0",
        "host:65536",
        "ray://host:65536",
    ],
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with (
        pytest.raises(BadValue, match="must be auto, ray://host:port, or the host:port of a head node"),
        connected(address),
    ):
        pass


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingPackage, match=rf"`{sys.executable} -m pip install -r requirements/fleet\.txt`"),
        connected("auto"),
    ):
        pass


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ray, of which only the connection is another."""
    package = pytest.importorskip("ray")
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(package, "shutdown", lambda: None)
    return package


@pytest.mark.slow
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_nothing_answers_is_told_at_once(ray: Any, form: str) -> None:
    with (
        pytest.raises(NoFleet, match=r"no Ray cluster at .* \(Connection refused\): start one with ray start"),
        connected(form.format(free_port())),
    ):
        pass
    assert not ray.is_initialized()


@pytest.mark.medium
def test_what_ray_says_becomes_one_line(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance. Please specify\nthe one")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(NoFleet, match=r"at auto \(Could not find any running Ray instance\): start"), connected("auto"):
        pass


@pytest.mark.medium
def test_other_versions_are_named(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\n"
            "This process on Ray Client was started with:\n    Ray: 2.59.0\n    Python: 3.11.2\n"
        )

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(NoFleet) as caught, connected("auto"):
        pass
    assert "started with: Ray: 2.60.0 Python: 3.11.2 This process" in str(caught.value)
    assert str(caught.value).endswith("or use its versions of Ray and Python, and its token")


@pytest.mark.medium
def test_a_sigterm_while_ray_connects_stops_the_command(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise SystemExit(15)

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(Terminated), connected("auto"):
        pass


@pytest.mark.medium
def test_a_task_that_ray_gave_up_is_a_failure_and_a_stopped_one_is_not(
    ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray.exceptions as faults

    outcomes: list[Any] = []

    def get(_task: Any) -> Any:
        (outcome,) = outcomes
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(ray, "get", get)
    for outcome, expected in ((Delivery("n1"), Delivery("n1")), (faults.TaskCancelledError(), None)):
        outcomes[:] = [outcome]
        assert Cluster(ray).delivery("task") == expected
    outcomes[:] = [faults.WorkerCrashedError()]
    with pytest.raises(WorkerFailed, match="the fleet has measured nothing: The worker died unexpectedly"):
        Cluster(ray).delivery("task")
