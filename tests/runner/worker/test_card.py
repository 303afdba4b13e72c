"""The worker refuses to measure on another card than the job's. CUDA is pretended; test_gpu.py has the real one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runner.errors import GpuNotFound, Mismatch, MissingPackage
from runner.job import Device
from runner.worker import card, session
from runner.worker.progress import Clock

UUID = "927be1c2-7394-4607-713b-1b60619e7a4b"
OTHER = "00000000-7394-4607-713b-1b60619e7a4b"
H200 = Device("cuda", f"GPU-{UUID}", "h200", "NVIDIA H200", 4800.0, True, "580.95.05")


@pytest.fixture
def sees(monkeypatch):
    """A function that says which card torch has: its properties, or what it raises."""

    def see(uuid=UUID, name="NVIDIA H200", error=None, cuda="13.0"):
        def properties(_index):
            if error is not None:
                raise error
            return SimpleNamespace(uuid=uuid, name=name)  # torch writes the UUID without `GPU-`

        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties)

    return see


def test_the_card_of_the_job_is_right(sees):
    sees()
    card.check(H200)
    sees(uuid=UUID.upper())
    card.check(H200)


@pytest.mark.parametrize(
    ("uuid", "name"),
    [
        (OTHER, "NVIDIA H200"),
        (UUID, "NVIDIA H200 MIG 1g.18gb"),
        (UUID[:-1], "NVIDIA H200"),  # a part of the name is another name
        (UUID[1:], "NVIDIA H200"),
        (f"{UUID}0", "NVIDIA H200"),
        ("", "NVIDIA H200"),
    ],
)
def test_another_card_or_a_slice_is_a_mismatch(sees, uuid, name):
    sees(uuid, name)
    with pytest.raises(Mismatch, match=f"the card NVIDIA H200 was requested, but .* a slice: {name}"):
        card.check(H200)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("Unexpected error from cudaGetDeviceCount()\nmore"),
        AssertionError("Invalid device id"),
        AssertionError(),
    ],
)
def test_a_card_that_cuda_does_not_see_is_not_found(sees, error):
    sees(error=error)
    with pytest.raises(GpuNotFound, match="torch sees no GPU where NVML sees NVIDIA H200: ") as caught:
        card.check(H200)
    assert "more" not in str(caught.value)


def test_a_torch_without_cuda_is_a_missing_package(sees):
    sees(cuda=None)
    with pytest.raises(MissingPackage, match="STACK=modern"):
        card.check(H200)


def test_the_cpu_needs_no_cuda(sees, tiny_job):
    sees(cuda=None)
    card.check(tiny_job.device)


def test_a_session_is_refused_before_anything_is_measured(sees, tiny_job, monkeypatch):
    sees(OTHER)
    monkeypatch.setattr("runner.worker.probes.read_bytes", lambda _: pytest.fail("measured"))
    with pytest.raises(Mismatch):
        session.run(replace(tiny_job, device=H200), Clock(1_000, 0.0))


@pytest.mark.parametrize("uuid", ["", UUID[:8], UUID[:-1], f"{UUID}0", f"{UUID}/1/0"])
def test_a_part_of_the_uuid_is_another_card(sees, uuid):
    sees(uuid=uuid)
    with pytest.raises(Mismatch):
        card.check(H200)
