"""The code and environment that a session of a cell would have if it began now."""

from __future__ import annotations

from pathlib import Path

from runner.errors import NoContainer
from runner.launch.container import place as places
from runner.plan.request import Request
from runner.plan.sessionplan import Plan
from runner.record.sections.head import ContainerInfo
from runner.study.recorded.known import Known
from runner.study.recorded.present import Present


class Today:
    """Today's code and environment. It holds for one look at the spool, as `Present` does."""

    def __init__(self, spool: Path) -> None:
        self._spool, self._present = spool, Present(spool)
        self._containers: dict[tuple[str, ...], ContainerInfo | None] = {}

    def difference(self, session: Known, request: Request, plan: Plan) -> str | None:
        """Returns why a session of the plan's cell was not of today's code and environment; None if it was."""
        return self._present.difference(session, plan.cell, self._container(request, plan), plan.device.driver)

    def _container(self, request: Request, plan: Plan) -> ContainerInfo | None:
        """Returns the container of a session that would begin now; None in this interpreter, or without the image."""
        key = (request.where, request.stack, plan.cell.gpu, plan.cell.kernel)
        if key not in self._containers:
            try:
                self._containers[key] = places.choose(request.where, request.stack, plan, self._spool).info
            except NoContainer:
                self._containers[key] = None
        return self._containers[key]
