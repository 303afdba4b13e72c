"""The kernels of a profile in groups, by names as the committed records have them."""

import pytest

from analysis.prediction import kernelgroups
from analysis.prediction.kernelgroups import GroupTimes
from runner.record.sections.passes import KernelTime
from tests.support.predictions import committed

STEP = [
    KernelTime("nvjet_sm90_tst_192x8_64x8_4x1_v_bz_TNT", 56.0, 2000.0),
    KernelTime("void cublasLt::splitKreduce_kernel<32, 16, int", 56.0, 100.0),
    KernelTime("nvjet_sm90_tst_384x8_64x4_2x1_v_bz_TNT", 1.0, 250.0),
    KernelTime("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x32_8x5_tn_align1>", 1.0, 3.0),
    KernelTime("cudnn_generated_fort_native_sdpa_sm80_flash_fprop", 28.0, 300.0),
    KernelTime(
        "void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::direct_copy",
        56.0,
        900,
    ),
    KernelTime("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float", 57.0, 130.0),
    KernelTime("(others)", 200.0, 230.0),
]


def test_an_unquantised_step_has_its_products_with_the_sums_of_their_parts():
    assert kernelgroups.group_times(STEP, "cublas") == GroupTimes(2100.0, 250.0, 1200.0, 363.0)


def test_a_packed_steps_products_are_its_kernels_and_its_head_is_plain():
    packed = [KernelTime("void marlin::Marlin<__half, 1125899906843648l", 196.0, 2700.0), *STEP[2:]]
    assert kernelgroups.group_times(packed, "marlin") == GroupTimes(2700.0, 250.0, 1200.0, 363.0)


def test_a_step_of_one_kernel_is_a_product():
    assert kernelgroups.group_times([KernelTime("decode_step", 1.0, 3700.0)], "fused") == GroupTimes(3700.0, 0, 0, 0)


PRODUCTS, SUM, HEAD, SMALL, FLASH, COPIES, NORM, OTHERS = STEP


@pytest.mark.parametrize(
    "kernels",
    [
        [],
        [SUM, HEAD, SMALL, FLASH, COPIES, NORM, OTHERS][1:],  # no product
        [PRODUCTS, SUM, FLASH, COPIES, NORM, OTHERS],  # no head
        [PRODUCTS, SUM, HEAD, SMALL, NORM, OTHERS],  # no attention
        [PRODUCTS, SUM, HEAD, FLASH],  # nothing else
    ],
)
def test_a_step_that_lacks_a_group_has_none(kernels):
    assert kernelgroups.group_times(kernels, "cublas") is None


@pytest.mark.slow
def test_every_committed_step_has_its_products_in_a_plausible_share():
    for row in committed().rows:
        total = sum(vars(row.times).values())
        assert row.busy_ms * 1e3 == pytest.approx(total, rel=0.03), row.name
        assert 0.15 < row.times.products / total <= 1, row.name
