"""What one test of the worker sets in torch must not reach the next."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _all_attention_backends() -> Iterator[None]:
    yield
    torch.backends.cuda.enable_flash_sdp(True)
    torch.backends.cuda.enable_mem_efficient_sdp(True)
    torch.backends.cuda.enable_cudnn_sdp(True)
    torch.backends.cuda.enable_math_sdp(True)
