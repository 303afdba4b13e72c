"""The examination: all checks in order, as far as this interpreter's packages allow."""

from __future__ import annotations

from runner.doctor import hardware, interpreter
from runner.doctor.finding import Finding, Report, note
from runner.doctor.hardware import Look

INSIDE = ("host", "kernels", "container", "store", "spool", "runs", "cell")
"""Names of the checks that need packages of the environment."""


def examine(gpu: str) -> Report:
    """Returns the report for a GPU of the catalogue, `cpu` or `auto`. Changes nothing on this machine."""
    from runner.doctor import exposure  # needs HTTP, whose import would slow down every command

    look = hardware.look(gpu)
    own = interpreter.findings(has_gpu=look.card is not None)
    return Report(gpu, (*look.findings, *own, *exposure.findings(), *_inside(gpu, look)))


def _inside(gpu: str, look: Look) -> tuple[Finding, ...]:
    if not interpreter.is_environment():
        return tuple(note(name, "examined once there is an environment") for name in INSIDE)
    from runner.doctor import inside

    return tuple(inside.findings(gpu, look))
