"""The plan of a session: its cell, and how and with which model, weights and device it is measured."""

from __future__ import annotations

from dataclasses import dataclass

from runner.cell.catalogue import Model
from runner.cell.cell import Cell
from runner.cell.protocol import CUSTOM, Protocol
from runner.cell.scheme import Scheme
from runner.checkpoints.checkpoint import Checkpoint
from runner.hostcondition.condition import HostCondition
from runner.job import Device, Job
from runner.record.sections.head import SessionInfo


@dataclass(frozen=True)
class Plan:
    """A resolved request.

    `scheme` describes packed weights and is None for unpacked ones. `checkpoint` is None for synthetic weights.
    `memory_bytes` is the card's total memory, None for the CPU. `flags` go into the record whatever the measurement
    finds. `energy` is whether the energy of a step is measured, too. `host_condition` is None on the host as it is.
    """

    cell: Cell
    protocol: Protocol
    device: Device
    memory_bytes: int | None
    model: Model
    scheme: Scheme | None
    checkpoint: Checkpoint | None
    seed: int
    study: str
    flags: tuple[str, ...]
    energy: bool = False
    host_condition: HostCondition | None = None

    @property
    def title(self) -> str:
        """Returns the cell, and how it is measured, in a few words."""
        return " ".join((self.cell.title, *self.measured_as))

    @property
    def condition_text(self) -> str | None:
        """Returns the condition of the host as a request states it; None on the host as it is."""
        return None if self.host_condition is None else self.host_condition.text

    @property
    def measured_as(self) -> tuple[str, ...]:
        """Returns the condition of the host if there is one, and a protocol with counts of its own."""
        condition = () if self.condition_text is None else (self.condition_text,)
        return (*condition, self.protocol.title) if self.protocol.name == CUSTOM else condition

    def job(self, session_id: str, requested: dict[str, str], index: int, started_ms: int, started_s: float) -> Job:
        """Returns the job of one session, which has no checkpoint, container and record's path yet.

        `requested` is the request as records publish it; `started_ms` is in milliseconds since the epoch,
        and `started_s` the same moment on the monotonic clock.
        """
        return Job(
            session=SessionInfo(session_id, self.study, index, self.seed, started_ms),
            request=requested,
            cell=self.cell,
            protocol=self.protocol,
            model_name=self.model.key,
            shape=self.model.shape,
            scheme=self.scheme,
            checkpoint=None,
            device=self.device,
            given_flags=self.flags,
            record_path="",
            started_s=started_s,
            energy=self.energy,
            host_condition=self.host_condition,
        )
