"""The assignment: the whole input of the worker that runs a bench, as one JSON file."""

from __future__ import annotations

from dataclasses import dataclass

from runner.job import Job


@dataclass(frozen=True)
class Refusal:
    """A runtime that cannot be in the bench, and the reason."""

    runtime: str
    reason: str


@dataclass(frozen=True)
class Assignment:
    """The jobs of a bench, one for each runtime. They differ in runtime, kernel, attention and options alone."""

    jobs: tuple[Job, ...]
    """at least one"""
    refusals: tuple[Refusal, ...]
    """runtimes that do not go with this device"""
    rounds: int
    result_path: str = ""

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Returns the runtimes of the jobs, in the order of the request."""
        return tuple(job.cell.runtime for job in self.jobs)
