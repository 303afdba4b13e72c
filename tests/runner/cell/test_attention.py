"""The backend of attention is read off the names of the kernels that ran."""

from __future__ import annotations

import pytest

from runner.cell import attention

SOFTMAX = "void cunn_SoftMaxForward<4, float>"
CUTLASS = "fmha_cutlassF_bf16_aligned_64x64_rf_sm80"
FLASH = "void pytorch_flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128>>"
CUDNN = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop"


@pytest.mark.parametrize(
    ("names", "backend"),
    [
        ([SOFTMAX], "math"),
        (["void (anonymous namespace)::softmax_warp_forward<float, 11>"], "math"),
        ([CUTLASS], "efficient"),
        ([FLASH], "flash"),
        (["flash_fwd_splitkv_kernel"], "flash"),
        ([CUDNN], "cudnn"),
        (["nvjet_tst_128x8", FLASH], "flash"),
        (["nvjet_tst_128x8", "elementwise_kernel"], "unknown"),
        ([], "unknown"),
    ],
)
def test_a_kernel_tells_its_backend(names: list[str], backend: str) -> None:
    assert attention.backend_of(names) == backend


def test_the_more_specific_backend_is_named_in_any_order_of_the_kernels() -> None:
    """A sampler's softmax runs beside each of the others, and is no attention then."""
    names = [SOFTMAX, CUTLASS, FLASH, CUDNN]
    for count, backend in enumerate(("math", "efficient", "flash", "cudnn"), 1):
        assert attention.backend_of(names[:count]) == attention.backend_of(names[:count][::-1]) == backend


def test_only_cudnn_and_a_backend_that_nobody_knows_may_differ_from_run_to_run() -> None:
    assert {*attention.BACKENDS} - {*attention.DETERMINISTIC} == {"cudnn", "unknown"}
