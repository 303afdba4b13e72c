"""Cutting and uniting kernel intervals, by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch._C._autograd import DeviceType

from runner.record.sections.passes import KernelTime
from runner.worker import profiling
from runner.worker.profiling import KernelRun, Observed, Profile, ProfiledStep, cut_at_marks, union_ns
from tests.fakes.cuda import profiled


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
    assert profile.observed(2, 4).counts == {"gemm": 1.0, "soft": 0.5}  # 2 and 1 over two steps
    assert profile.observed(2, 4).graph_mode == "whole-step"
    # two gemms over two steps: 1 a step, (2000 + 1000) ns / 2 = 1.5 us
    assert profile.summary()[0] == KernelTime("gemm", count=1.0, us=1.5)


def test_attention_backends_by_name():
    assert Observed({"cudnn_generated_fort_native_sdpa_sm90_flash_fprop": 1.0}).attention_backend == "cudnn"
    assert Observed({"pytorch_flash::flash_fwd_splitkv_kernel": 1.0}).attention_backend == "flash"
    assert Observed({"fmha_cutlassF_bf16_aligned_64x64_rf_sm80": 1.0}).attention_backend == "efficient"
    assert Observed({"softmax_warp_forward": 1.0}).attention_backend == "math"
    assert Observed({"at::native::cunn_SoftMaxForward<4, float>": 1.0}).attention_backend == "math"


MARK = run("spin_kernel(long)", 0, 0)


@pytest.mark.parametrize(
    ("intervals", "busy_us", "span_us"),
    [
        ([(1_000, 3_000), (5_000, 6_000)], 3.0, 5.0),  # 2 + 1, and the 2 between
        ([(0, 10_000), (2_000, 4_000)], 10.0, 10.0),  # the first ends last
        ([(0, 10_000), (2_000, 4_000), (5_000, 8_000)], 10.0, 10.0),  # one hole is covered, one is not asked for twice
        ([(0, 4_000), (2_000, 6_000), (8_000, 9_000)], 7.0, 9.0),
        ([(0, 1_000), (1_000, 2_000)], 2.0, 2.0),
        ([], 0.0, 0.0),
    ],
)
def test_busy_span_and_kernels_of_a_step(intervals, busy_us, span_us):
    (step,) = cut_at_marks([MARK, *(run("gemm", *each) for each in intervals), MARK]).steps
    assert step == ProfiledStep(busy_us, span_us, len(intervals))


def test_kernels_are_those_of_the_device_in_the_order_of_their_start():
    events = [
        profiled("softmax", 500, 20),
        profiled("gemm", 100, 450),  # starts first and ends last
        profiled("Memcpy DtoH (Device -> Pageable)", 50, 10),
        profiled("Memset (Device)", 60, 10),
        profiled("cudaLaunchKernel", 10, 5, DeviceType.CPU),
    ]
    assert profiling.kernels_of(recording(events)) == [run("gemm", 100, 550), run("softmax", 500, 520)]


def recording(events):
    return SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events)))


def test_launches_of_graphs_are_counted_by_either_interface():
    names = ("cudaGraphLaunch", "cuGraphLaunch", "cudaGraphLaunch", "cudaLaunchKernel", "gemm cudaGraphLaunch")
    assert profiling.graph_launches_of(recording([profiled(name, 0, 1) for name in names])) == 3


@pytest.mark.parametrize(
    ("launches", "steps", "mode"),
    [(0, 4, "none"), (4, 4, "whole-step"), (8, 4, "partial"), (2, 4, "partial"), (1, 4, "partial")],
)
def test_the_graph_mode_is_by_launches_a_step(launches, steps, mode):
    found = Profile((ProfiledStep(1.0, 1.0, 1),) * steps, ()).observed(launches, 0)
    assert found.graph_launches == launches / steps
    assert found.graph_mode == mode


def test_a_summary_has_the_kernels_that_take_longest_and_the_rest_as_one():
    """Kernel i of 30 runs 2 · i µs over two steps, i µs a step; the many short ones come last."""
    runs = [run(f"kernel {index}", 0, 2_000 * index) for index in range(1, 31)]
    runs += [run("short", 0, 10)] * 100
    rows = Profile((ProfiledStep(1.0, 1.0, 1),) * 2, tuple(runs)).summary()
    assert [row.name for row in rows] == [*(f"kernel {index}" for index in range(30, 6, -1)), "(others)"]
    assert rows[0] == KernelTime("kernel 30", 0.5, 30.0)
    # 1 + 2 + … + 6 = 21 µs, and 100 · 10 ns over two steps: 0.5 µs
    assert rows[-1] == KernelTime("(others)", 53.0, 21.5)


def test_a_summary_of_few_kernels_has_no_rest():
    rows = Profile((ProfiledStep(1.0, 1.0, 1),), (run("gemm", 0, 1_500), run("gemm", 0, 500))).summary()
    assert rows == (KernelTime("gemm", 2.0, 2.0),)


def test_a_long_name_is_cut_at_200_characters():
    (row,) = Profile((ProfiledStep(1.0, 1.0, 1),), (run("k" * 300, 0, 1_000),)).summary()
    assert row.name == "k" * 200


def test_names_are_matched_by_any_signature():
    seen = Observed({"gemv2T": 2.0, "nvjet_tst": 3.0, "softmax": 1.0})
    assert seen.matching(("gemv", "nvjet")) == {"gemv2T": 2.0, "nvjet_tst": 3.0}


def test_the_operators_of_a_step_are_those_of_one_call_at_ctx():
    class Step:
        def __init__(self):
            self.calls, self.matrix = [], torch.ones(2, 2)

        def restart(self, position):
            self.calls.append(position)
            return self.matrix.exp()  # none of the step's own

        def __call__(self):
            self.calls.append("step")
            return (self.matrix @ self.matrix @ self.matrix)[0, 0]

    step = Step()
    seen = profiling.operators_of(step, 64)
    assert step.calls == [64, "step"]
    assert seen.counts["aten::mm"] == 2
    assert "aten::exp" not in seen.counts
    assert (seen.graph_launches, seen.graph_mode) == (0.0, "none")


def test_the_marker_is_a_kernel_that_the_cut_recognises(monkeypatch):
    cycles = []
    monkeypatch.setattr(torch.cuda, "_sleep", cycles.append)
    profiling.mark_step()
    assert len(cycles) == 1  # CUDA's name for it is seen on a GPU, in test_gpu.py
    assert cut_at_marks([run("void at::cuda::spin_kernel(long)", 0, 1)] * 2).steps == (ProfiledStep(0.0, 0.0, 0),)


def test_names_alone_tell_of_no_graph():
    assert Observed({"gemm": 1.0}) == Observed({"gemm": 1.0}, 0.0)
    assert Observed({"gemm": 1.0}).graph_mode == "none"
