"""The cell that `cell` would measure now, with every `auto` resolved."""

from __future__ import annotations

from runner.cell.vocabulary import AUTO
from runner.doctor.finding import Finding, failed, note, ok
from runner.doctor.hardware import Look
from runner.errors import DecodeFloorError
from runner.launch.container import place
from runner.machine import host
from runner.plan import fit
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.plan.sessionplan import Plan
from runner.record.spool import DEFAULT_SPOOL

CELL = "cell"


def finding(gpu: str, look: Look, has_image: bool) -> Finding:
    """Returns the resolved cell and its place, or why it cannot be measured."""
    if look.installed is None or not look.is_found:
        return note(CELL, "unknown without the GPU")
    try:
        plan = resolve(Request(gpu=gpu, device=AUTO if look.card is None else str(look.card.index)), look.installed)
        available = plan.memory_bytes or host.available_memory_bytes()
        fit.check(plan.cell, plan.model.shape, plan.scheme, plan.protocol, plan.device.kind, available)
        return ok(CELL, f"{_words(plan)}, {_where(plan, has_image)}")
    except DecodeFloorError as error:
        return failed(CELL, error)


def _words(plan: Plan) -> str:
    cell = plan.cell
    return (
        f"gpu={cell.gpu} model={cell.model} ctx={cell.ctx} quant={cell.quant} kernel={cell.kernel} "
        f"runtime={cell.runtime} cache={cell.cache} dtype={cell.dtype} attention={cell.attention}"
    )


def _where(plan: Plan, has_image: bool) -> str:
    """Returns the place of the session. Without an image it is this interpreter, and no engine is asked again."""
    container = place.choose(AUTO, AUTO, plan, DEFAULT_SPOOL).container if has_image else None
    return "in this interpreter" if container is None else f"in a container of {container.image.name}"
