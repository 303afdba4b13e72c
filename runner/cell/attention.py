"""Backends of scaled_dot_product_attention, and the kernel names that identify them."""

from __future__ import annotations

from collections.abc import Collection

UNKNOWN = "unknown"
DETERMINISTIC = ("flash", "efficient", "math")
"""Backends whose results repeat bit for bit. Others may add up the parts of a long context in the order in which they
finish, as cuDNN does (docs/runtimes.md, "CUDA graphs and torch.compile")."""
PARTS = {  # parts of names, the most specific first: the other backends' kernels may contain a softmax, too
    "cudnn": ("cudnn_generated", "cudnn::fusion", "sdpa_sm"),
    "flash": ("flash_fwd", "pytorch_flash", "_flash_attention"),
    "efficient": ("fmha_cutlass", "fmha_"),
    "math": ("softmax", "SoftMax"),  # softmax_warp_forward, and cunn_SoftMaxForward for long rows
}
BACKENDS = (*PARTS, UNKNOWN)


def backend_of(names: Collection[str]) -> str:
    """Returns the backend that these kernel names identify; `unknown` if none is recognised."""
    for backend, parts in PARTS.items():
        if any(part in name for name in names for part in parts):
            return backend
    return UNKNOWN
