"""Stands in for `run_session`, and leaves the records that sessions would leave."""

from __future__ import annotations

from typing import Any

from runner.launch.session import Finished, Settings
from runner.machine import host
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import record
from tests.support.derive import file_name, typed
from tests.support.records import cpu_record, failed_record


class Worker:
    """Stands in for `run_session`: leaves the record that a session of that cell would leave. `fate` of a session is an
    exception to raise, or a change to make to its record."""

    def __init__(self) -> None:
        self.fates: dict[int, Any] = {}
        self.count = 0

    def __call__(self, request: Request, index: int, _started_ms: int, settings: Settings) -> Finished:
        number, self.count = self.count, self.count + 1
        fate = self.fates.get(number)
        if isinstance(fate, BaseException):
            raise fate
        found = self._record(request, index, number)
        error = fate(found) if fate else None
        settings.spool.mkdir(parents=True, exist_ok=True)
        path = settings.spool / file_name(found)
        record.write(found, path)
        return Finished(typed(found), path, store_error=error)

    def _record(self, request: Request, index: int, number: int) -> dict[str, Any]:
        plan = resolve(request, ())
        found = cpu_record(
            cell=plan.cell.to_json(),
            model={"name": plan.cell.model, "shape": plan.model.shape.to_json()},
            session={
                "id": f"{number:016x}",
                "index": index,
                "study": plan.study,
                "seed": plan.seed,
                "started_ms": 1_760_000_000_000 + 30_000 * number,
                "finished_ms": 1_760_000_000_000 + 30_000 * number + 20_000,
            },
        )
        found["keys"] |= {"host_id": host.host_id(None), "code_key": plan.cell.key}
        return found


def fail(found: dict[str, Any]) -> None:
    """Turns a record into that of a session that ran out of memory on a GPU's worker."""
    session = {name: value for name, value in found["session"].items() if name != "finished_ms"}
    crash = failed_record("failed", session=session, cell=found["cell"])
    found.clear()
    found.update(crash)
