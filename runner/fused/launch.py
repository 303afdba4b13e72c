"""Launches the compiled kernel: cooperatively, on torch's current stream, with parameters prepared once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runner.errors import NotAvailable
from runner.fused import plan, stuck
from runner.fused.compiled import ENTRY, Compiled
from runner.fused.geometry import Card, Geometry

if TYPE_CHECKING:
    import torch

LAYER_FIELDS = ("query", "key", "value", "keys", "values", "out", "gate", "up", "down")
"""Addresses of what a layer has on the tape, in the order of `plan::Tensor`."""
VECTOR_FIELDS = ("query_bias", "key_bias", "value_bias", "input_norm", "output_norm")
"""Addresses of a layer's vectors, in the order of `Vectors` (arguments.cuh)."""
STEP_FIELDS = (
    *("layers", "embedding", "norm", "head", "cosines", "sines", "ranges"),
    *("hidden", "qkv", "parts", "weights", "attention", "activations", "choices"),
    *("logits", "sequence", "forced", "position", "chosen", "log", "launches", "report", "cache_rows"),
)
"""Fields of `Step` (arguments.cuh) behind the vectors, eight bytes each; epsilon, a float, is the last."""


def card_of(device: torch.device) -> Card:
    """Returns the device's limits. Raises NotAvailable if it cannot launch cooperatively."""
    from cuda.bindings import driver

    def attribute(name: str) -> int:
        key = getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(checked(driver.cuDeviceGetAttribute(key, device.index or 0)))

    if not attribute("COOPERATIVE_LAUNCH"):
        raise NotAvailable("runtime=fused needs cooperative launches, which this GPU does not support")
    return Card(attribute("MULTIPROCESSOR_COUNT"), attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"))


def exchange_packets(geometry: Geometry) -> dict[str, int]:
    """Returns the packets, eight bytes each, of every buffer through which blocks exchange values."""
    shape = geometry.shape
    return {
        "hidden": shape.hidden,
        "qkv": geometry.qkv_rows,
        "parts": geometry.most_splits * shape.q_width,
        "weights": geometry.most_splits * shape.heads * 2,
        "attention": shape.q_width // 2,
        "activations": shape.intermediate // 2,
        "choices": geometry.blocks * 2,
    }


class Launch:
    """A prepared launch. A call enqueues one step."""

    def __init__(
        self,
        compiled: Compiled,
        geometry: Geometry,
        layers: Sequence[dict[str, torch.Tensor]],
        tensors: dict[str, torch.Tensor],
        cache_rows: int,
        epsilon: float,
    ) -> None:
        import torch
        from cuda.bindings import driver

        self._driver, self._torch = driver, torch
        self._device = tensors["position"].device
        self.geometry = geometry
        self.compiled, self.layers, self.tensors, self.cache_rows = compiled, layers, tensors, cache_rows
        self.buffers = self._make_buffers()
        self.buffers["layers"] = torch.tensor(
            [_addresses(layer, LAYER_FIELDS) for layer in layers], dtype=torch.int64, device=self._device
        )
        addresses = {name: tensor.data_ptr() for name, tensor in {**tensors, **self.buffers}.items()}
        addresses["cache_rows"] = cache_rows
        self._arguments = _arguments(layers, addresses, epsilon)
        self._pointers = (ctypes.c_void_p * 1)(ctypes.addressof(self._arguments))
        kernel = compiled.module.get_kernel(ENTRY)
        self._function = checked(driver.cuKernelGetFunction(kernel.handle))
        largest = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        checked(driver.cuFuncSetAttribute(self._function, largest, geometry.shared_bytes))
        self._check_residency()

    def __call__(self) -> None:
        (error,) = self._driver.cuLaunchCooperativeKernel(
            self._function,
            *(self.geometry.blocks, 1, 1),
            *(self.geometry.threads, 1, 1),
            self.geometry.shared_bytes,
            self._torch._C._cuda_getCurrentRawStream(self._device.index),  # ten times as fast as current_stream()
            ctypes.addressof(self._pointers),
        )
        if error == self._driver.CUresult.CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE:
            raise NotAvailable(
                f"runtime=fused needs {self.geometry.blocks} multiprocessors at once, and this process has fewer: let "
                "no other process share the GPU (MIG, MPS), or use another runtime"
            )
        if error.value:
            raise RuntimeError(f"the fused step was not launched ({error.name})")

    def stuck(self) -> str | None:
        """Returns what a warp waited for when it gave up; None if none did. Readable after a failed launch too."""
        report = self.buffers["report"].view(self._torch.uint32).view(-1, stuck.WORDS)
        return stuck.place(report.tolist(), self.geometry.shape.layers)

    def _make_buffers(self) -> dict[str, torch.Tensor]:
        torch, geometry = self._torch, self.geometry
        buffers = {
            name: torch.zeros(count, dtype=torch.int64, device=self._device)
            for name, count in exchange_packets(geometry).items()
        }
        buffers["ranges"] = torch.tensor(plan.table(geometry), dtype=torch.int32, device=self._device)
        buffers["log"] = torch.full((self.cache_rows,), -1, dtype=torch.int64, device=self._device)
        buffers["launches"] = torch.ones(1, dtype=torch.int32, device=self._device)
        words = geometry.blocks * (geometry.threads // 32) * stuck.WORDS
        buffers["report"] = torch.zeros(words, dtype=torch.int32, pin_memory=True)
        return buffers

    def _check_residency(self) -> None:
        count = checked(
            self._driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(
                self._function, self.geometry.threads, self.geometry.shared_bytes
            )
        )
        if count < 1:
            raise NotAvailable("runtime=fused needs a whole multiprocessor for each block: use another runtime")


def _arguments(
    layers: Sequence[dict[str, torch.Tensor]], addresses: dict[str, int], epsilon: float
) -> ctypes.Structure:
    """Returns the kernel's only parameter, `Step` in arguments.cuh."""
    words = [address for layer in layers for address in _addresses(layer, VECTOR_FIELDS)]
    words += [addresses[name] for name in STEP_FIELDS]

    class Step(ctypes.Structure):
        _fields_ = [("words", ctypes.c_uint64 * len(words)), ("epsilon", ctypes.c_float)]

    return Step((ctypes.c_uint64 * len(words))(*words), epsilon)


def _addresses(tensors: dict[str, torch.Tensor], names: Sequence[str]) -> list[int]:
    """Returns the tensors' addresses; 0 for one that the model lacks."""
    return [tensors[name].data_ptr() if name in tensors else 0 for name in names]


def checked(result: Any) -> Any:
    """Returns what a call of NVIDIA's bindings returned besides its status. Raises RuntimeError if it failed."""
    error, *values = result
    if error.value:
        raise RuntimeError(f"CUDA: {error.name}")
    return values[0] if values else None
