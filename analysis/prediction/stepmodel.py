"""The model of a step. Launching is asynchronous, so the slower of host and device sets the pace:

    step = max(host, Σ over kernels of max(bytes / (share · bandwidth), kernel's own time) + gaps) + read-back

`host` is the number of kernels times the time to launch one, 0 for a step that is launched as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.prediction.constants import Architecture, Products
from analysis.prediction.workload import Configuration, Workload

MEMORY, KERNELS, HOST_BOUND = "memory", "kernels", "host-bound"


@dataclass(frozen=True)
class Step:
    """A predicted step. `memory_us` is the time of the kernels that memory limits."""

    host_ms: float
    device_ms: float
    memory_us: float
    added_ms: float

    @property
    def ms(self) -> float:
        return max(self.host_ms, self.device_ms) + self.added_ms

    @property
    def limit(self) -> str:
        """Returns the term that wins."""
        if self.host_ms > self.device_ms:
            return HOST_BOUND
        return MEMORY if self.memory_us > self.device_ms * 1e3 / 2 else KERNELS


def step(architecture: Architecture, configuration: Configuration, work: Workload, bandwidth_gbs: float) -> Step:
    """Returns the step of a configuration that the architecture has constants of."""
    own = architecture.remainder(configuration)
    assert own is not None
    path = architecture.path_of(configuration)
    products = architecture.products_of(configuration)
    head_share = products.share if configuration.is_one_kernel else architecture.head_share
    head_us = _us(work.head_bytes, head_share, bandwidth_gbs)
    matrices = list(_products(work, products, bandwidth_gbs))
    attention_us = path.attention_us + path.attention_us_per_million * work.attended
    kernels = own.kernels * work.layers
    device_us = head_us + work.layers * (sum(us for us, _ in matrices) + attention_us + own.others_us)
    return Step(
        host_ms=kernels * own.issue_us / 1e3,
        device_ms=(device_us + kernels * path.gap_us) / 1e3,
        memory_us=head_us + work.layers * sum(us for us, by_memory in matrices if by_memory),
        added_ms=path.readback_ms + path.new_length_ms,
    )


def whole_us(work: Workload, products: Products, bandwidth_gbs: float) -> float:
    """Returns the µs of a step that is one kernel: its layers, and the head at the same share of the bandwidth."""
    layers_us = sum(us for us, _ in _products(work, products, bandwidth_gbs))
    return work.layers * layers_us + _us(work.head_bytes, products.share, bandwidth_gbs)


def product_us(size_bytes: float, products: Products, bandwidth_gbs: float) -> float:
    """Returns the µs of a product by a matrix of this size."""
    kernel_us = max(size_bytes / 1e6 * products.us_per_mb, products.fixed_us)
    return max(_us(size_bytes, products.share, bandwidth_gbs), kernel_us)


def _products(work: Workload, products: Products, bandwidth_gbs: float) -> Iterator[tuple[float, bool]]:
    """Yields the µs of each product of a layer, and whether memory limits it."""
    for size_bytes in work.matrices:
        us = product_us(size_bytes, products, bandwidth_gbs)
        yield us, us == _us(size_bytes, products.share, bandwidth_gbs)


def _us(size_bytes: float, share: float, bandwidth_gbs: float) -> float:
    return size_bytes / (share * bandwidth_gbs * 1e3)
