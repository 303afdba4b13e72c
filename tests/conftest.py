"""What all tests share: a clean environment, small jobs, and skips that may only be hardware's fault."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from runner.cell import catalogue
from runner.cell.cell import Cell
from runner.cell.protocol import Protocol
from runner.errors import DecodeFloorError
from runner.job import Device, Job, SessionInfo
from runner.machine import nvml
from runner.machine.nvml import InstalledGpu
from runner.record import sourcetext
from tests.support import committed
from tests.support.stores import empty_sqlite, http_uri, postgresql_uri

__all__ = ["empty_sqlite", "http_uri", "postgresql_uri"]  # fixtures

try:
    import hypothesis
except ImportError:  # some tests need no property testing
    pass
else:
    # a deadline on a busy machine fails tests at random
    hypothesis.settings.register_profile("decode-floor", deadline=None)
    hypothesis.settings.load_profile("decode-floor")

# a shell starts its background jobs with SIGINT ignored, nohup its command with SIGHUP: every process of the tests
# would inherit that, and rightly leave it ignored
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# two test files run at once: a second thread of torch would only wait, with its core busy, for one that a neighbour has
# displaced (five to ten times the CPU time). Torch reads this when it is first imported, and sessions inherit it
os.environ.setdefault("OMP_NUM_THREADS", "1")

# jsonschema would compile a grammar of IRIs, which no schema here has, in each worker: that takes 2 s
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as a package that is not installed

# the workers of a parallel run have 80 columns, a run without workers as many as the terminal
os.environ["COLUMNS"] = "120"

STRICT_VARIABLE = "DECODE_FLOOR_STRICT_SKIPS"
HARDWARE = "hardware:"
OURS = ("DECODE_FLOOR_", "MLFLOW_")
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_unexcused: list[str] = []


def pytest_collection() -> None:
    """Switches the garbage collector off while modules are imported and tests collected: hardly any of that is garbage,
    and the collector would search it again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares the garbage collector what is there before the first test: torch, transformers, MLflow and thousands of
    tests, which it would search again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where there is none."""
    if any(item.get_closest_marker("gpu") for item in items) and not _has_gpu():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=f"{HARDWARE} needs a CUDA GPU"))


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A test that leaves a signal ignored makes every process of later tests deaf to it."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    changed = [number.name for number, handler in before.items() if signal.getsignal(number) != handler]
    for number, handler in before.items():
        signal.signal(number, handler)
    assert not changed, f"the test left another handler of {', '.join(changed)}"


def _has_gpu() -> bool:
    try:
        return any(gpu.obstacle is None for gpu in nvml.list_gpus())
    except DecodeFloorError:
        return False


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return
    reason = str(report.longrepr[2]).removeprefix("Skipped: ")
    if not reason.startswith(HARDWARE):
        _unexcused.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get(STRICT_VARIABLE) == "1" and _unexcused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get(STRICT_VARIABLE) == "1" and _unexcused:
        terminalreporter.section("skips that no missing hardware excuses")
        terminalreporter.line("\n".join(_unexcused))


@pytest.fixture(autouse=True, scope="session")
def _committed_records_are_read_once() -> Iterator[None]:
    with committed.read_once():
        yield


@pytest.fixture(autouse=True, scope="session")
def _sources_analysed_once() -> Iterator[None]:
    """A code key covers all modules that the process has loaded: all of the project's here, which takes 2 s."""
    with mock.patch.object(sourcetext, "essence", cache(sourcetext.essence)):
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the person who runs the tests, and a host lock of each test's own."""
    for name in [name for name in os.environ if name.startswith(OURS) and name != STRICT_VARIABLE]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DECODE_FLOOR_LOCK_DIR", str(tmp_path_factory.mktemp("lock")))
    monkeypatch.setenv("DECODE_FLOOR_ENGINE", "none")  # an image on this machine is no business of most tests
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def card() -> Callable[..., InstalledGpu]:
    """A function that makes an installed GPU: `card("NVIDIA L4", index=1)`."""

    def make(
        name: str, index: int = 0, mig: bool = False, memory_bytes: int = 24 * 10**9, fault: str | None = None
    ) -> InstalledGpu:
        uuid = f"GPU-{index:08x}-aaaa-bbbb-cccc-dddddddddddd" if name else ""
        return InstalledGpu(index, uuid, name, memory_bytes, "8.9", "580.65.06", mig, fault)

    return make


@pytest.fixture
def tiny_job(tmp_path: Path) -> Job:
    """The job of a small CPU cell, its record to be written into the test's folder."""
    return Job(
        session=SessionInfo(id="0123456789abcdef", study="adhoc", index=0, seed=0, started_ms=1_000),
        request={"gpu": "cpu", "model": "tiny", "ctx": "64", "quant": "bf16", "weights": "synthetic"},
        cell=Cell("cpu", "tiny", 64, "bf16", "torch-cpu", "eager", "sdpa", "dynamic", "bf16", "synthetic-v1"),
        protocol=Protocol("paper", 5, 30),
        model_name="tiny",
        shape=catalogue.models()["tiny"].shape,
        scheme=None,
        checkpoint=None,
        device=Device("cpu", None, "cpu", "a CPU", None, True, None),
        given_flags=(),
        record_path=str(tmp_path / "spool" / "record.json"),
        started_s=0.0,
    )
