"""The option `sdpa`: the backend of scaled_dot_product_attention, for each runtime that has the option."""

from __future__ import annotations

OPTION = "sdpa"
BACKENDS = ("flash", "efficient", "cudnn", "math")


def allow_only(backend: str) -> None:
    """Allows one backend in this process. torch then fails where it cannot be used, and does not choose another."""
    import torch

    switches = {
        "flash": torch.backends.cuda.enable_flash_sdp,
        "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
        "cudnn": torch.backends.cuda.enable_cudnn_sdp,
        "math": torch.backends.cuda.enable_math_sdp,
    }
    for name, switch in switches.items():
        switch(name == backend)
