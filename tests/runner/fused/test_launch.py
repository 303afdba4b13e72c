"""The kernel's parameter is laid out as the kernel reads it, its buffers are small, and a launch is cooperative."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cuda.bindings import driver

from runner.errors import NotAvailable
from runner.fused import geometry, launch
from runner.fused.geometry import Card
from runner.fused.launch import Launch
from tests.support.cudasources import enumerators, members
from tests.support.fusedshapes import H200, of_catalogue

GPU, STREAM, KERNEL, FUNCTION = torch.device("cuda", 0), 77, 88, 99


def test_the_fields_of_a_step_are_in_the_kernels_order() -> None:
    assert members("Step", "arguments.cuh") == ["vectors", *launch.STEP_FIELDS, "epsilon"]


def test_the_vectors_of_a_layer_are_in_the_kernels_order() -> None:
    assert members("Vectors", "arguments.cuh") == list(launch.VECTOR_FIELDS)


def test_the_tensors_of_a_layer_are_in_the_kernels_order() -> None:
    names = [name.lower() for name in enumerators("Tensor", "plan.cuh")[:-1]]
    letters = {"query": "wq", "key": "wk", "value": "wv", "out": "wo", "gate": "wgate", "up": "wup", "down": "wdown"}
    assert names == [letters.get(name, name) for name in launch.LAYER_FIELDS]


@pytest.mark.parametrize("name", of_catalogue())
def test_the_exchanges_take_little_memory(name: str) -> None:
    layout = geometry.choose(of_catalogue()[name], H200)
    assert 8 * sum(launch.exchange_packets(layout).values()) < 2**21


def test_a_launch_that_gave_up_is_read_from_host_memory() -> None:
    layout, report = geometry.choose(of_catalogue()["tiny"], H200), torch.zeros(3 * 8, dtype=torch.int32)
    fake = SimpleNamespace(buffers={"report": report}, geometry=layout, _torch=torch)
    assert launch.Launch.stuck(fake) is None
    report[8:16] = torch.tensor([1, 2, 0, 5, 3, -1, -3, 77])  # words of 32 bits: epochs 2³² - 1 and 2³² - 3
    assert launch.Launch.stuck(fake) == (
        "the fused step waited too long for the residual stream before attention "
        "(layer 0, block 5, SM 77, warp 3: expected epoch 4294967295, saw 4294967293)"
    )


class Driver:
    """CUDA's driver as a launch uses it, without a GPU. An answer is a value, or a tuple that begins with a status."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pinned_words: list[int] = []
        """of each buffer that was made in pinned memory, the length"""
        for name, answer in answers.items():
            monkeypatch.setattr(driver, name, self._recorded(name, answer))

    def _recorded(self, name: str, answer: Any) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            found = answer(*arguments) if callable(answer) else answer
            return found if isinstance(found, tuple) else (driver.CUresult.CUDA_SUCCESS, found)

        return call


def of_card(cooperative: bool) -> Callable[..., int]:
    """Returns a function that answers with the attributes of an H200."""
    names = driver.CUdevice_attribute
    attributes = {
        names.CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: int(cooperative),
        names.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: 132,
        names.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: 232448,
    }
    return lambda name, _device: attributes[name]


def test_the_card_is_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, cuDeviceGetAttribute=of_card(cooperative=True))
    assert launch.card_of(GPU) == Card(multiprocessors=132, shared_bytes=232448)


def test_a_card_without_cooperative_launches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, cuDeviceGetAttribute=of_card(cooperative=False))
    with pytest.raises(NotAvailable, match=r"^runtime=fused needs cooperative launches, which this GPU does not"):
        launch.card_of(GPU)


Make = Callable[..., tuple[Launch, Driver]]
LAYOUT = geometry.choose(of_catalogue()["tiny"], H200)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A function that makes a launch on a GPU whose multiprocessors have room for so many blocks."""
    zeros, done = torch.zeros, driver.CUresult.CUDA_SUCCESS

    def made(resident: int = 1, launched: Any = done) -> tuple[Launch, Driver]:
        fake = Driver(
            monkeypatch,
            cuKernelGetFunction=FUNCTION,
            cuFuncSetAttribute=(done,),
            cuOccupancyMaxActiveBlocksPerMultiprocessor=resident,
            cuLaunchCooperativeKernel=(launched,),
        )

        def unpinned(count: int, pin_memory: bool = False, **words: Any) -> torch.Tensor:
            fake.pinned_words += [count] * pin_memory
            return zeros(count, **words)

        monkeypatch.setattr(torch, "zeros", unpinned)
        monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda _: STREAM, raising=False)
        compiled: Any = SimpleNamespace(module=SimpleNamespace(get_kernel=lambda _: SimpleNamespace(handle=KERNEL)))
        given = {name: zeros(1) for name in launch.STEP_FIELDS}
        layers = [{name: zeros(1) for name in (*launch.LAYER_FIELDS, *launch.VECTOR_FIELDS)}] * LAYOUT.shape.layers
        return Launch(compiled, LAYOUT, layers, given, cache_rows=40, epsilon=1e-6), fake

    return made


def test_a_launch_asks_for_all_shared_memory_and_then_whether_its_blocks_fit(make: Make) -> None:
    largest = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    _, fake = make()
    assert fake.calls == [
        ("cuKernelGetFunction", KERNEL),
        ("cuFuncSetAttribute", FUNCTION, largest, LAYOUT.shared_bytes),
        ("cuOccupancyMaxActiveBlocksPerMultiprocessor", FUNCTION, LAYOUT.threads, LAYOUT.shared_bytes),
    ]


def test_a_multiprocessor_without_room_for_a_block_is_refused(make: Make) -> None:
    with pytest.raises(NotAvailable, match=r"^runtime=fused needs a whole multiprocessor for each block"):
        make(resident=0)


def test_a_call_enqueues_one_cooperative_launch_with_the_parameters_made_before(make: Make) -> None:
    made, fake = make()
    before, (arguments,) = len(fake.calls), made._pointers
    for _ in range(2):
        made()
    (name, function, *grid_and_block, shared, stream, _), again = fake.calls[before:]
    assert (name, function, *grid_and_block) == (
        *("cuLaunchCooperativeKernel", FUNCTION),
        *(LAYOUT.blocks, 1, 1, LAYOUT.threads, 1, 1),
    )
    assert (shared, stream) == (LAYOUT.shared_bytes, STREAM)
    assert again == fake.calls[before]
    assert made._pointers[0] == arguments


def test_fewer_multiprocessors_than_blocks_are_refused_with_a_remedy(make: Make) -> None:
    launch, _ = make(launched=driver.CUresult.CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE)
    with pytest.raises(NotAvailable, match=f"^runtime=fused needs {LAYOUT.blocks} multiprocessors at once") as refused:
        launch()
    assert "\n" not in str(refused.value)


def test_a_launch_that_cuda_refuses_is_an_error(make: Make) -> None:
    made, _ = make(launched=driver.CUresult.CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
    with pytest.raises(RuntimeError, match=r"not launched \(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"):
        made()


def test_the_report_lies_in_pinned_memory_and_epochs_begin_at_one(make: Make) -> None:
    """The report can be read after CUDA has lost the context. Packets of zeros carry an epoch that nobody awaits."""
    made, fake = make()
    words = LAYOUT.blocks * (LAYOUT.warps + LAYOUT.fillers) * 8
    assert fake.pinned_words == [words] == [made.buffers["report"].numel()]
    assert made.buffers["launches"].tolist() == [1]
    assert not any(made.buffers[name].any() for name in launch.exchange_packets(LAYOUT))
