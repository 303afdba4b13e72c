"""Sets and reads the variables of instrumented builds (instruments.cuh) on the GPU."""

from __future__ import annotations

import ctypes
from dataclasses import fields
from typing import Any

from runner.fused import copytrace, stamps
from runner.fused.copytrace import PHASES, Addresses, Traced, Work
from runner.fused.launch import LAYER_FIELDS, Launch, checked

STAMPS, DELAYS, TRACE = ({name: "1"} for name in ("STAMPS", "DELAYS", "TRACE"))
"""Constants with which `compile_step` builds an instrument into the kernel."""


def set_seed(launch: Launch, seed: int) -> None:
    """Sets the seed of all pauses. Needs DELAYS."""
    _write(launch, "delay_seed", ctypes.c_uint32(seed))


def read_stamps(launch: Launch) -> list[int]:
    """Returns the clocks of the last step, as `stamps.words` lays them out. Needs STAMPS."""
    return _read(launch, "stamps", stamps.words(launch.geometry))


def trace_step(launch: Launch) -> list[list[Traced]]:
    """Runs one step. Returns each block's copies, in order. Needs TRACE."""
    import torch

    layout, position = launch.geometry, launch.tensors["position"]
    counts = [copytrace.count(layout, block, int(position)) for block in range(layout.blocks)]
    words = torch.zeros(layout.blocks, max(counts), len(fields(Traced)), dtype=torch.int64, device=position.device)
    _write(launch, "traced", ctypes.c_uint64(words.data_ptr()))
    _write(launch, "traced_copies", ctypes.c_uint64(max(counts)))
    _write(launch, "multiplied", (ctypes.c_uint64 * _work_words(launch))())
    launch()
    torch.cuda.synchronize()
    return [[Traced(*copy) for copy in block[:made]] for block, made in zip(words.tolist(), counts, strict=True)]


def read_work(launch: Launch) -> list[dict[str, Work]]:
    """Returns what each phase of each layer multiplied in the step that was traced last."""
    words = _read(launch, "multiplied", _work_words(launch))
    phases = [Work(*pair) for pair in zip(words[::2], words[1::2], strict=True)]
    return [dict(zip(PHASES, phases[i : i + len(PHASES)], strict=True)) for i in range(0, len(phases), len(PHASES))]


def addresses(launch: Launch) -> Addresses:
    """Returns the addresses that the launch gives to the kernel."""
    layers = [{name: layer[name].data_ptr() for name in LAYER_FIELDS} for layer in launch.layers]
    return Addresses(layers, launch.tensors["head"].data_ptr(), launch.cache_rows)


def _work_words(launch: Launch) -> int:
    return launch.geometry.shape.layers * len(PHASES) * 2


def _write(launch: Launch, name: str, value: Any) -> None:
    """Overwrites a variable of the kernel with a ctypes object, after all work before has ended."""
    import torch
    from cuda.bindings import driver

    torch.cuda.synchronize()
    size = ctypes.sizeof(value)
    checked(driver.cuMemcpyHtoD(_variable(launch, name, size), ctypes.addressof(value), size))


def _read(launch: Launch, name: str, words: int) -> list[int]:
    """Returns a variable of the kernel that consists of words of eight bytes."""
    import torch
    from cuda.bindings import driver

    torch.cuda.synchronize()
    values = (ctypes.c_int64 * words)()
    size = ctypes.sizeof(values)
    checked(driver.cuMemcpyDtoH(ctypes.addressof(values), _variable(launch, name, size), size))
    return list(values)


def _variable(launch: Launch, name: str, size: int) -> Any:
    """Returns the address of a variable of the kernel. Raises RuntimeError if the build lacks it."""
    from cuda.bindings import driver

    result = driver.cuLibraryGetGlobal(launch.compiled.module.handle, name.encode())
    address = checked(result)
    if result[2] != size:
        raise RuntimeError(f"the kernel's variable {name} has {result[2]} bytes, not {size}")
    return address
