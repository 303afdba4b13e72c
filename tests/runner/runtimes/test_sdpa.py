"""The option `sdpa`: torch itself says which backends are allowed afterwards."""

from collections.abc import Iterator

import pytest
import torch

from runner.runtimes import _sdpa

SWITCHES = {
    "flash": (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    "efficient": (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    "cudnn": (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    "math": (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
}


def allowed() -> list[str]:
    return [name for name, (is_enabled, _) in SWITCHES.items() if is_enabled()]


@pytest.fixture(autouse=True)
def _all_are_allowed() -> Iterator[None]:
    for _, enable in SWITCHES.values():
        enable(True)
    yield
    for _, enable in SWITCHES.values():
        enable(True)


@pytest.mark.parametrize("backend", _sdpa.BACKENDS)
def test_only_the_named_backend_is_allowed_afterwards(backend: str) -> None:
    assert len(allowed()) > 1
    _sdpa.allow_only(backend)
    assert allowed() == [backend]


def test_a_later_choice_replaces_an_earlier_one() -> None:
    _sdpa.allow_only("math")
    _sdpa.allow_only("flash")
    assert allowed() == ["flash"]
