"""Checks that kernel, runtime, quant, dtype, card and stack go together, with one-line messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from runner import registry
from runner.cell.cell import Cell
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.vocabulary import AUTO, CUDA
from runner.declarations import KernelDeclaration
from runner.errors import BadPair
from runner.plan.remedies import Changes, Unpaired
from runner.plan.request import Request
from runner.record import recordsize
from runner.record.flags import UNTRIED_KERNEL
from runner.registry import DEVICE, KERNEL, RUNTIME, Conflict

if TYPE_CHECKING:
    from runner.machine.installedgpu import InstalledGpu

QUANT, STACK, PROTOCOL, WINDOWS, CACHE = "quant", "stack", "protocol", "windows", "cache"


def check(cell: Cell) -> None:
    """Raises Unpaired for the first rule that the cell breaks."""
    for conflict in registry.conflicts(cell):
        raise Unpaired(
            _refusal(conflict, cell), [*_other_values(conflict), *_other_owners(conflict)], *_other_kernels()
        )


def _refusal(conflict: Conflict, cell: Cell) -> str:
    owner = f"{conflict.owner}={conflict.name}"
    if conflict.field == DEVICE:
        return f"{owner} needs {_device(CUDA in conflict.allowed)}, and {_own_device(cell)}"
    pair = f"{conflict.field}={conflict.value}"
    return f"{pair} does not go with {owner}" if conflict.why is None else f"{pair} {conflict.why}, which {owner} needs"


def _device(is_cuda: bool) -> str:
    return "a CUDA GPU" if is_cuda else "the CPU"


def _own_device(cell: Cell) -> str:
    return f"this cell is on the {cell.device_kind.upper()}"


def _other_values(conflict: Conflict) -> Iterator[Changes]:
    if conflict.field != DEVICE:
        yield from ({conflict.field: value} for value in conflict.allowed)


def _other_owners(conflict: Conflict) -> Iterator[Changes]:
    names = registry.runtime_names() if conflict.owner == RUNTIME else (AUTO,)
    yield from ({conflict.owner: name} for name in names)


def _other_kernels() -> tuple[list[Changes], list[Changes]]:
    """Returns the changes to another kernel, and those to another quant and its default kernel."""
    quants = registry.format_names()
    return [{KERNEL: name} for name in registry.kernel_names()], [{QUANT: quant, KERNEL: AUTO} for quant in quants]


def default_kernel(cell: Cell) -> KernelDeclaration:
    """Returns the kernel that `auto` selects for a cell without a kernel.

    That is the quant's default among the kernels that break the fewest rules, or else the first of these. Raises
    Unpaired if no kernel multiplies the quant on this device.
    """
    fitting = [kernel for kernel in registry.kernel_declarations() if cell.quant in kernel.quants]
    on_device = [kernel for kernel in fitting if cell.device_kind in kernel.devices]
    if not on_device:
        other_quants = [{QUANT: quant} for quant in registry.format_names()]
        raise Unpaired(_without_kernel(cell, fitting), other_quants, *_other_kernels())
    broken = [len([*registry.conflicts(_with(cell, kernel))]) for kernel in on_device]
    best = [kernel for kernel, count in zip(on_device, broken, strict=True) if count == min(broken)]
    return next((kernel for kernel in best if cell.quant in kernel.default_of), best[0])


def _with(cell: Cell, kernel: KernelDeclaration) -> Cell:
    return replace(cell, kernel=kernel.name, dtype=kernel.dtypes[0])


def _without_kernel(cell: Cell, fitting: list[KernelDeclaration]) -> str:
    if not fitting:
        return f"quant={cell.quant} has no kernel in this version"
    device = _device(any(CUDA in kernel.devices for kernel in fitting))
    names = ", ".join(kernel.name for kernel in fitting)
    return (
        f"the kernels of quant={cell.quant} ({names}) need {device}, and this cell is on the {cell.device_kind.upper()}"
    )


def check_home(name: str, stack: str, card: InstalledGpu | None) -> None:
    """Raises Unpaired if the kernel is not part of the stack, or does not run on the card."""
    kernel = registry.kernel(name).DECLARATION
    if stack not in (AUTO, *kernel.stacks):
        stacks = [{STACK: each} for each in kernel.stacks]
        raise Unpaired(f"stack={stack} does not go with kernel={name}", [*stacks, {KERNEL: AUTO}], *_other_kernels())
    if card is None or kernel.capability is None or card.compute_capability is None:
        return
    if tuple(map(int, card.compute_capability.split("."))) < kernel.capability:
        needed = ".".join(map(str, kernel.capability))
        has = f"gpu {card.index} ({card.name}) has {card.compute_capability}"
        raise Unpaired(f"kernel={name} needs compute capability {needed} or more, and {has}", *_other_kernels())


def check_protocol(request: Request, protocol: Protocol, cache: str) -> None:
    """Raises Unpaired if the requested protocol cannot measure a cell with this cache, BadValue if its record might be
    too large to be read."""
    recordsize.check(protocol)
    if reason := protocol.refuses(cache):
        field, one_window = (PROTOCOL, "tail") if request.windows == AUTO else (WINDOWS, "1")
        text = f"{field}={getattr(request, field)} does not go with cache={cache}: {reason}"
        raise Unpaired(text, [{field: one_window}, {CACHE: "static"}])


def flags(kernel: str, card: InstalledGpu | None) -> tuple[str, ...]:
    """Returns `untried-kernel` for this project's own kernel on an architecture without a committed session."""
    tried = registry.kernel(kernel).DECLARATION.tried
    is_untried = tried is not None and card is not None and card.compute_capability not in tried
    return (UNTRIED_KERNEL,) if is_untried else ()


def check_scheme(cell: Cell, scheme: Scheme | None) -> None:
    """Raises BadPair if the kernel cannot multiply weights of this scheme."""
    if scheme is None or not (reason := registry.kernel(cell.kernel).DECLARATION.refuses(scheme, cell.quant)):
        return
    others = [
        f"kernel={kernel.name}"
        for kernel in registry.kernel_declarations()
        if not kernel.refuses(scheme, cell.quant) and not any(registry.conflicts(_with(cell, kernel)))
    ]
    advice = " or ".join((*others, "other weights"))
    raise BadPair(f"kernel={cell.kernel} cannot multiply these weights: {reason}: choose {advice}")
