"""Checks that kernel, runtime, quant, dtype, card and stack go together, with one-line messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from runner import registry
from runner.cell.cell import Cell
from runner.cell.scheme import Scheme
from runner.cell.vocabulary import AUTO, CUDA
from runner.declarations import KernelDeclaration
from runner.errors import BadPair
from runner.record.flags import UNTRIED_KERNEL
from runner.registry import Conflict

if TYPE_CHECKING:
    from runner.machine.installedgpu import InstalledGpu


def check(cell: Cell) -> None:
    """Raises BadPair for the first rule that the cell breaks."""
    for conflict in registry.conflicts(cell):
        raise BadPair(_refusal(conflict, cell.device_kind.upper()))


def _refusal(conflict: Conflict, kind: str) -> str:
    owner = f"{conflict.owner}={conflict.name}"
    if conflict.field == registry.DEVICE:
        device = "a CUDA GPU" if CUDA in conflict.allowed else "the CPU, gpu=cpu"
        advice = f": choose {'runtime=eager' if conflict.owner == registry.RUNTIME else 'kernel=auto'}"
        return f"{owner} needs {device}, and this cell is on the {kind}{advice}"
    pair = f"{conflict.field}={conflict.value}"
    if conflict.why is not None:
        return f"{pair} {conflict.why}, which {owner} needs: choose another kernel, or runtime=eager"
    return _unpaired(owner, pair, conflict.allowed)


def _unpaired(owner: str, pair: str, allowed: Iterable[str]) -> str:
    return f"{pair} does not go with {owner} (it goes with: {', '.join(allowed)})"


def default_kernel(cell: Cell) -> KernelDeclaration:
    """Returns the kernel that `auto` selects for a cell without a kernel.

    That is the quant's default among the kernels that break the fewest rules, or else the first of these. Raises
    BadPair if no kernel multiplies the quant on this device.
    """
    fitting = [kernel for kernel in registry.kernel_declarations() if cell.quant in kernel.quants]
    on_device = [kernel for kernel in fitting if cell.device_kind in kernel.devices]
    if not on_device:
        raise BadPair(_without_kernel(cell, fitting))
    broken = [len([*registry.conflicts(_with(cell, kernel))]) for kernel in on_device]
    best = [kernel for kernel, count in zip(on_device, broken, strict=True) if count == min(broken)]
    return next((kernel for kernel in best if cell.quant in kernel.default_of), best[0])


def _with(cell: Cell, kernel: KernelDeclaration) -> Cell:
    return replace(cell, kernel=kernel.name, dtype=kernel.dtypes[0])


def _without_kernel(cell: Cell, fitting: list[KernelDeclaration]) -> str:
    kind, alternatives = cell.device_kind, ", ".join(_packed_on(cell.device_kind))
    advice = f"quant={alternatives} {'run' if ',' in alternatives else 'runs'} on a {kind.upper()}, too"
    if not fitting:
        return f"quant={cell.quant} has no kernel in this version: {advice}"
    device = "a CUDA GPU" if any(CUDA in kernel.devices for kernel in fitting) else "the CPU, gpu=cpu"
    names = ", ".join(kernel.name for kernel in fitting)
    return f"quant={cell.quant} needs {device}, which its kernels need ({names}); {advice}"


def _packed_on(kind: str) -> list[str]:
    """Returns the packed formats that have a kernel on this kind of device."""
    kernels = [kernel for kernel in registry.kernel_declarations() if kind in kernel.devices]
    multiplied = {quant for kernel in kernels for quant in kernel.quants}
    return [name for name in registry.format_names() if _is_packed(name) and name in multiplied]


def _is_packed(quant: str) -> bool:
    return registry.weight_format(quant).DECLARATION.packed


def check_home(name: str, stack: str, card: InstalledGpu | None) -> None:
    """Raises BadPair if the kernel is not part of the stack, or does not run on the card."""
    kernel = registry.kernel(name).DECLARATION
    if stack not in (AUTO, *kernel.stacks):
        raise BadPair(_unpaired(f"kernel={name}", f"stack={stack}", kernel.stacks))
    if card is None or kernel.capability is None or card.compute_capability is None:
        return
    if tuple(map(int, card.compute_capability.split("."))) < kernel.capability:
        needed = ".".join(map(str, kernel.capability))
        raise BadPair(
            f"kernel={kernel.name} needs compute capability {needed} or more, gpu {card.index} ({card.name}) has "
            f"{card.compute_capability}: choose another kernel, quant or card"
        )


def flags(kernel: str, card: InstalledGpu | None) -> tuple[str, ...]:
    """Returns `untried-kernel` for this project's own kernel on an architecture without a committed session."""
    tried = registry.kernel(kernel).DECLARATION.tried
    is_untried = tried is not None and card is not None and card.compute_capability not in tried
    return (UNTRIED_KERNEL,) if is_untried else ()


def check_scheme(cell: Cell, scheme: Scheme | None) -> None:
    """Raises BadPair if the kernel cannot multiply weights of this scheme."""
    if scheme is not None and (reason := registry.kernel(cell.kernel).DECLARATION.refuses(scheme, cell.quant)):
        raise BadPair(
            f"kernel={cell.kernel} cannot multiply these weights: {reason}: choose another kernel or checkpoint"
        )
