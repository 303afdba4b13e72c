"""Cutting and uniting kernel intervals, by hand."""

from runner.worker.profiling import KernelRun, Seen, cut_at_marks, union_ns


def run(name, start, end):
    return KernelRun(name, start, end)


def test_union_counts_overlap_once():
    # [0,10] and [5,12] overlap, [20,25] stands apart: 12 + 5 = 17
    assert union_ns([run("a", 0, 10), run("b", 5, 12), run("c", 20, 25)]) == 17
    assert union_ns([run("a", 0, 10), run("inside", 2, 4), run("c", 8, 11)]) == 11


def test_steps_are_cut_at_markers_and_ends_dropped():
    runs = [
        run("before", 0, 1),
        run("spin_kernel(long)", 2, 3),
        run("gemm", 4_000, 6_000),
        run("gemm", 7_000, 8_000),
        run("spin_kernel(long)", 9_000, 9_001),
        run("soft", 10_000, 10_500),
        run("spin_kernel(long)", 11_000, 11_001),
        run("after", 12_000, 12_001),
    ]
    profile = cut_at_marks(runs)
    assert [(step.busy_us, step.span_us, step.kernels) for step in profile.steps] == [(3.0, 4.0, 2), (0.5, 0.5, 1)]
    assert profile.seen(2).counts == {"gemm": 1.0, "soft": 0.5}  # 2 and 1 over two steps
    assert profile.seen(2).graph_mode == "whole-step"
    # two gemms over two steps: 1 a step, (2000 + 1000) ns / 2 = 1.5 us
    assert profile.summary()[0] == {"name": "gemm", "count": 1.0, "us": 1.5}


def test_attention_backends_by_name():
    assert Seen({"cudnn_generated_fort_native_sdpa_sm90_flash_fprop": 1.0}).attention_backend == "cudnn"
    assert Seen({"pytorch_flash::flash_fwd_splitkv_kernel": 1.0}).attention_backend == "flash"
    assert Seen({"fmha_cutlassF_bf16_aligned_64x64_rf_sm80": 1.0}).attention_backend == "efficient"
    assert Seen({"softmax_warp_forward": 1.0}).attention_backend == "math"
    assert Seen({"at::native::cunn_SoftMaxForward<4, float>": 1.0}).attention_backend == "math"
