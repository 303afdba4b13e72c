"""The machines that a study is measured on, as far as its plan and standing depend on them; and this machine."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Protocol

from runner.cell import catalogue
from runner.cell.vocabulary import AUTO, CPU
from runner.machine import host, nvml
from runner.plan.cards import Installed, gpu_key
from runner.plan.request import Request
from runner.plan.sessionplan import Plan
from runner.study.declared import Entry
from runner.study.recorded.known import Known
from runner.study.recorded.today import Today


class OfToday(Protocol):
    """The code and environment of sessions that would begin now."""

    def difference(self, session: Known, request: Request, plan: Plan) -> str | None:
        """Returns why a session of the plan's cell was not of today's code and environment; None if it was."""
        ...


class Machines(Protocol):
    """The machines that a study is measured on."""

    def cards(self, entry: Entry) -> Installed | None:
        """Returns the cards for which an entry is resolved, which are none for the CPU; None if no machine has its GPU.

        Raises BadValue if these machines cannot measure the entry as it is declared.
        """
        ...

    def lack(self, gpu: str) -> str:
        """Returns why the entries of a GPU wait that no machine has."""
        ...

    def memory_bytes(self) -> int | None:
        """Returns the memory for cells of the CPU; None if it is not known."""
        ...

    def host_id(self, gpu_uuid: str | None) -> str:
        """Returns the host_id of the sessions on a card; "" if it is not known before they are measured."""
        ...

    def today(self, spool: Path) -> OfToday:
        """Returns the present code and environment, for one look at the spool."""
        ...


class ThisMachine:
    """The machine of this process. `installed` are its GPUs; they are looked up when they are first needed, which a
    study of CPU cells does not."""

    def __init__(self, installed: Installed | None = None) -> None:
        self._given = installed

    def cards(self, entry: Entry) -> Installed | None:
        gpu = entry.request.gpu
        if gpu == CPU:
            return ()
        # a GPU that is unknown, too, is refused by `resolve`
        return self._installed if gpu in self._present or gpu not in catalogue.gpus() else None

    @cached_property
    def _installed(self) -> Installed:
        return nvml.list_gpus() if self._given is None else self._given

    @cached_property
    def _present(self) -> frozenset[str]:
        return frozenset((AUTO, *(gpu_key(card) for card in self._installed if card.name)))

    def lack(self, gpu: str) -> str:
        return f"no {gpu} here"

    def memory_bytes(self) -> int:
        return host.memory_bytes()

    def host_id(self, gpu_uuid: str | None) -> str:
        return host.host_id(gpu_uuid)

    def today(self, spool: Path) -> Today:
        return Today(spool)
