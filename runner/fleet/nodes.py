"""The nodes of a fleet as the machines of a study: which GPUs they have, and what the driver knows of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from runner.cell import catalogue
from runner.cell.vocabulary import AUTO, CPU
from runner.errors import BadValue
from runner.fleet import accelerators
from runner.plan import absent
from runner.plan.cards import Installed
from runner.plan.request import FROM_ENVIRONMENT, Request, are_local
from runner.plan.sessionplan import Plan
from runner.study.declared import Entry
from runner.study.recorded.known import Known
from runner.study.recorded.present import NOT_MEASURED, Present


class Nodes:
    """The nodes of a fleet that have these accelerator types. Their cards are those of the catalogue: a node checks
    what it really has."""

    def __init__(self, offered: Iterable[str]) -> None:
        kinds = {*offered}
        self._gpus = {gpu for gpu, kind in accelerators.types().items() if kind in kinds}

    def cards(self, entry: Entry) -> Installed | None:
        request = entry.request
        _check(entry)
        if request.gpu == CPU or request.gpu not in catalogue.gpus():
            return ()  # `resolve` refuses a GPU that is unknown
        card = absent.card(catalogue.gpus()[request.gpu]) if request.gpu in self._gpus else None
        return None if card is None else (card,)

    def lack(self, gpu: str) -> str:
        if accelerators.types().get(gpu) is None:
            return f"Ray has no name for {gpu}: measure it without --fleet"
        if gpu in self._gpus:
            return f"the catalogue has no memory of {gpu}, without which no cell can be planned here"
        return f"no node of the fleet has {gpu}"

    def memory_bytes(self) -> None:
        return None

    def host_id(self, _gpu_uuid: str | None) -> str:
        return ""

    def today(self, spool: Path) -> OfDriver:
        return OfDriver(Present(spool))


class OfDriver:
    """The code of the driver, which the nodes run, too. Their environment and images are not known here."""

    def __init__(self, present: Present) -> None:
        self._present = present

    def difference(self, session: Known, _request: Request, _plan: Plan) -> str | None:
        """Returns why a session was not of today's code; None if it was. One in a container has the image's."""
        if not session.is_measured:
            return NOT_MEASURED
        return None if session.container is not None else self._present.code_difference(session)


def _check(entry: Entry) -> None:
    """Raises BadValue if the entry means something else on each node."""
    request = entry.request
    if request.gpu == AUTO:
        raise BadValue("gpu=auto means the GPU of one machine, and a fleet has several: name a GPU, or cpu")
    if request.device != AUTO:
        raise BadValue(f"device={request.device} names a card of one machine: leave it out, since Ray assigns the card")
    for weights in _weights(entry):
        is_path = are_local(weights) and not weights.startswith(FROM_ENVIRONMENT)
        if is_path and not os.path.isabs(os.path.expanduser(weights)):
            raise BadValue(
                f"weights={weights} depends on the current folder: name the absolute path that the checkpoint has here "
                "and on every node"
            )


def _weights(entry: Entry) -> tuple[str, ...]:
    """Returns the weights of a cell, or of both arms."""
    arms = entry.arms
    return (arms.a, arms.b) if arms is not None and arms.field == "weights" else (entry.request.weights,)
