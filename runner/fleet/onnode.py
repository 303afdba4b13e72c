"""The node's side of an order: measures its sessions as a command on this host would, and returns their records.

The caller is a worker process of Ray on the node. It starts the session's own process, holds the host's lock
meanwhile, and leaves nothing behind.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runner.ab import arms, manifest
from runner.ab.pairseries import PairSeries
from runner.cell.vocabulary import CPU
from runner.errors import BadPair, DecodeFloorError, Mismatch, NotAvailable
from runner.files import scratch
from runner.fleet.orders import BlockOrder, Delivery, Fault, SessionOrder, Terms
from runner.launch.session import Settings, run_session
from runner.machine import nvml
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import codekey
from runner.record.record import write_text_durably
from runner.record.spool import MANIFEST_NAME

OF_RAY = ("OMP_NUM_THREADS", "PYTHONBREAKPOINT")
"""Variables that Ray sets in its worker process, and that would change a session. CUDA_VISIBLE_DEVICES stays: it names
the card that Ray assigned."""
ENVIRONMENT_FILE = Path("/proc/self/environ")


class Notes:
    """A `session.Display` that collects the notes for the driver. A node has no terminal."""

    def __init__(self) -> None:
        self.texts: dict[str, None] = {}
        self.waited: str | None = None

    @contextmanager
    def session(self, _title: str, _expected_s: float | None) -> Iterator[None]:
        yield

    def position(self, _text: str) -> None:
        pass

    def note(self, text: str) -> None:
        self.texts[text] = None

    def wait(self, text: str) -> None:
        self.waited = self.waited or text

    def phase(self, _name: str, _elapsed_s: float) -> None:
        pass


def measure(order: SessionOrder | BlockOrder, terms: Terms, node: str = "") -> Delivery:
    """Measures the sessions of an order. `node` distinguishes nodes of the same host name."""
    name, notes = " ".join(filter(None, (platform.node(), node))), Notes()
    if (own := codekey.tree_key()) != terms.tree_key:
        text = f"it has other code (tree_key {own}, the driver's is {terms.tree_key}): remove the copy of runner there"
        return Delivery(name, fault=Fault(Mismatch.reason, text))
    expected_s = order.count * (terms.expected_s or 0.0)
    if terms.end_ms is not None and 1000 * (time.time() + expected_s) > terms.end_ms:
        return Delivery(name, is_late=True)
    with _environment_of_node(), scratch.folder() as spool:
        settings = Settings(spool, None, None, terms.share_host, terms.timeout_s, notes)
        try:
            _take_back_priority()
            delivery = _cell(order, settings) if isinstance(order, SessionOrder) else _block(order, settings)
        except DecodeFloorError as error:
            delivery = Delivery("", fault=_fault(error))
    return replace(delivery, node=name, notes=tuple(notes.texts), waited=notes.waited)


@contextmanager
def _environment_of_node() -> Iterator[None]:
    """Takes back what Ray has set in this process since it began, so that a session has the node's own environment."""
    began = {os.fsdecode(line.partition(b"=")[0]) for line in ENVIRONMENT_FILE.read_bytes().split(b"\0")}
    set_by_ray = {name: os.environ.pop(name) for name in OF_RAY if name in os.environ and name not in began}
    try:
        yield
    finally:
        os.environ.update(set_by_ray)


def _take_back_priority() -> None:
    """Gives this process the niceness of Ray on this node, which starts its workers with a lower priority.

    A session inherits it. Raises NotAvailable if this user may not change it.
    """
    of_ray = os.getpriority(os.PRIO_PROCESS, os.getppid())
    own = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, of_ray)
    except PermissionError as error:
        raise NotAvailable(
            f"Ray starts its workers there with niceness {own}, which would slow a session down: set "
            "RAY_worker_niceness=0 for ray start"
        ) from error


def _fault(error: DecodeFloorError) -> Fault:
    return Fault(error.reason, str(error))


def _installed(request: Request) -> nvml.Gpus:
    return () if request.gpu == CPU else nvml.list_gpus()


def _cell(order: SessionOrder, settings: Settings) -> Delivery:
    if resolve(order.request, _installed(order.request)).cell.key != order.cell_key:
        raise Mismatch("its cell is another one: the files of the weights there differ from the driver's")
    finished = run_session(order.request, order.index, int(time.time() * 1000), settings)
    return Delivery("", (finished.path.read_text(encoding="utf-8"),))


def _block(order: BlockOrder, settings: Settings) -> Delivery:
    """Continues the A/B in a folder of its own, until its block is complete or a session fails."""
    installed = _installed(order.request)
    pair = arms.pair(order.request, order.arms.field, order.arms.a, order.arms.b, installed)
    series = PairSeries(pair, order.sessions, order.extension, settings)
    before = manifest.parse(order.manifest, MANIFEST_NAME)
    if manifest.folder_of(settings.spool, before) != series.folder:
        raise BadPair("its A/B is another one: the files of the weights there differ from the driver's")
    for name, text in order.records.items():
        write_text_durably(series.folder / name, text)
    manifest.write(before, series.folder)
    fault: Fault | None = None
    try:
        with series.opened():
            is_done = False
            while series.remaining() and not is_done:
                is_done = series.measure().error is not None or series.is_at_block_end
    except DecodeFloorError as error:
        fault = _fault(error)
    known = {*order.records, MANIFEST_NAME}
    added = (path.read_text(encoding="utf-8") for path in series.folder.glob("*.json") if path.name not in known)
    return Delivery("", tuple(added), manifest.read(series.folder / MANIFEST_NAME).text, fault=fault)
