"""The option `sdpa`: which backend scaled_dot_product_attention may take, for each runtime that has the option."""

from __future__ import annotations

OPTION = "sdpa"
BACKENDS = ("flash", "efficient", "cudnn", "math")


def allow_only(backend: str) -> None:
    """For all of this process: torch refuses what the backend cannot do, instead of taking another."""
    import torch

    switches = {
        "flash": torch.backends.cuda.enable_flash_sdp,
        "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
        "cudnn": torch.backends.cuda.enable_cudnn_sdp,
        "math": torch.backends.cuda.enable_math_sdp,
    }
    for name, switch in switches.items():
        switch(name == backend)
