"""Kernels and runtimes whose packages this interpreter has, as they declare them. No package is imported."""

from __future__ import annotations

from collections.abc import Iterator

from runner import registry
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.doctor.finding import Finding, note, ok
from runner.findable import is_findable

KERNELS = "kernels"
Declared = KernelDeclaration | RuntimeDeclaration


def finding(device_kind: str, architecture: str | None) -> Finding:
    """Returns which kernels and runtimes of a kind of device are usable, and what brings the others.

    `architecture` is that of the GPU's images, None without any.
    """
    declared = list(_declared(device_kind))
    missing = [each for each in declared if not _is_there(each)]
    found = ", ".join(dict.fromkeys(each.name for each in declared if each not in missing))
    if not missing:
        return ok(KERNELS, found)
    lacking = ", ".join(dict.fromkeys(f"{each.name} (package {each.package})" for each in missing))
    remedies = {each.package: f"{each.package}: {each.remedy}" for each in missing}
    image = () if architecture is None else (f"make image-{architecture} makes an image that has them",)
    return note(KERNELS, f"{found}; not here: {lacking}", "; ".join((*image, *remedies.values())))


def _declared(device_kind: str) -> Iterator[Declared]:
    yield from (kernel for kernel in registry.kernel_declarations() if device_kind in kernel.devices)
    yield from (runtime for runtime in registry.runtime_declarations() if device_kind in runtime.devices)


def _is_there(declared: Declared) -> bool:
    """Returns whether the module can be found, as the worker asks before it imports anything."""
    return declared.module is None or is_findable(declared.module)
