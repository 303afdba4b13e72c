"""The card that a request names: by catalogue name, index or UUID, with one line for each that cannot be measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.errors import BadPair, GpuAmbiguous, GpuNotFound, NotAvailable
from runner.machine.nvml import InstalledGpu
from runner.plan import cards
from runner.plan.request import Request
from runner.plan.resolve import resolve

MakeCard = Callable[..., InstalledGpu]


def test_the_cpu_can_be_asked_for_beside_a_gpu(card: MakeCard) -> None:
    assert resolve(Request(gpu="cpu"), (card("NVIDIA L4"),)).device.kind == "cpu"


def test_a_missing_gpu_is_one_clear_line(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="l4"), (card("NVIDIA H200"),))
    assert str(caught.value) == ("this machine has no L4: found NVIDIA H200 (gpu 0); choose gpu=auto or gpu=h200")


def test_a_missing_gpu_on_a_machine_without_any() -> None:
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="l4"), ())
    assert str(caught.value) == "this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu"


def test_several_gpus_are_listed_with_index_name_and_uuid(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA L4", 1))
    with pytest.raises(GpuAmbiguous, match="choose with device=0 or device=GPU-0") as caught:
        resolve(Request(), cards)
    for one in cards:
        assert f"{one.index}: {one.name} {one.uuid}" in str(caught.value)


def test_the_gpus_name_can_settle_it(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA H200", 1))
    assert resolve(Request(gpu="h200"), cards).device.uuid == cards[1].uuid


@pytest.mark.parametrize(
    "device", ["1", "GPU-00000001", "gpu-00000001-AAAA", "GPU-00000001-aaaa-bbbb-cccc-dddddddddddd"]
)
def test_a_gpu_is_chosen_by_index_or_uuid(card: MakeCard, device: str) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA L4", 1))
    assert resolve(Request(device=device), cards).device.uuid == cards[1].uuid


def test_a_uuid_prefix_of_several_is_ambiguous(card: MakeCard) -> None:
    with pytest.raises(GpuAmbiguous):
        resolve(Request(device="GPU-0000"), (card("NVIDIA L4"), card("NVIDIA L4", 1)))


@pytest.mark.parametrize("device", ["2", "GPU-ffff", "g", "gpu", "GPU-", "00000000-aaaa", "cuda:0"])
def test_a_device_that_is_not_there(card: MakeCard, device: str) -> None:
    with pytest.raises(GpuNotFound, match=rf"no GPU matches device={device}: found NVIDIA L4 \(gpu 0\)"):
        resolve(Request(device=device), (card("NVIDIA L4"),))


def test_a_device_without_any_gpu() -> None:
    with pytest.raises(GpuNotFound, match="device=0: found no GPU; choose device=auto or gpu=cpu"):
        resolve(Request(device="0"), ())


def test_a_device_that_is_another_gpu_than_asked_for(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound, match=r"gpu 0 is NVIDIA L4 \(l4\), not h200"):
        resolve(Request(gpu="h200", device="0"), (card("NVIDIA L4"), card("NVIDIA H200", 1)))


def test_the_cpu_takes_no_device() -> None:
    with pytest.raises(BadPair, match="device=0 does not go with gpu=cpu"):
        resolve(Request(gpu="cpu", device="0"), ())


def test_a_sliced_card_is_refused(card: MakeCard) -> None:
    with pytest.raises(NotAvailable, match="MIG mode"):
        resolve(Request(), (card("NVIDIA H200", mig=True),))


SLICED = r"gpu 0 \(NVIDIA H200\) is in MIG mode, and a slice of a card has no known bandwidth"


@pytest.mark.parametrize("asked", [{}, {"gpu": "h200"}, {"device": "0"}, {"device": "GPU-00000000"}])
def test_a_sliced_card_that_is_asked_for_is_refused_by_name(card: MakeCard, asked: dict[str, str]) -> None:
    others = (card("NVIDIA L4", 1),) if asked else ()
    with pytest.raises(NotAvailable, match=SLICED):
        resolve(Request(**asked), (card("NVIDIA H200", mig=True), *others))


@pytest.mark.parametrize("gpu", ["auto", "h200"])
def test_a_whole_card_is_taken_beside_a_sliced_one(card: MakeCard, gpu: str) -> None:
    cards = (card("NVIDIA H200", mig=True), card("NVIDIA H200", 1))
    assert resolve(Request(gpu=gpu), cards).device.uuid == cards[1].uuid


@pytest.mark.parametrize("device", ["MIG-33333333-aaaa-bbbb-cccc-000000000004", "MIG-GPU-00000000/1/0"])
@pytest.mark.parametrize("present", [True, False])
def test_a_slice_as_device_is_refused_by_name(card: MakeCard, device: str, present: bool) -> None:
    cards = (card("NVIDIA H200", mig=True),) if present else ()
    with pytest.raises(GpuNotFound, match=f"device={device} names a MIG instance: .* no known bandwidth"):
        resolve(Request(device=device), cards)


def test_no_card_is_advised_that_would_be_refused(card: MakeCard) -> None:
    dead, sliced = card("NVIDIA L4", fault=LOST), card("NVIDIA H200", 1, mig=True)
    with pytest.raises(GpuNotFound, match=r"; choose gpu=auto or gpu=l40s$"):
        resolve(Request(gpu="a100"), (dead, sliced, card("NVIDIA L40S", 2)))
    with pytest.raises(GpuNotFound, match=r"; choose gpu=cpu$"):
        resolve(Request(gpu="a100"), (dead, sliced))


LOST = "NVML said 'GPU is lost'"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "asked", [{}, {"gpu": "l4"}, {"device": "1"}, {"device": "GPU-00000001"}, {"gpu": "l4", "device": "1"}]
)
def test_a_healthy_card_is_measured_beside_a_dead_one(card: MakeCard, asked: dict[str, str], known: bool) -> None:
    cards = (card("NVIDIA L4" if known else "", fault=LOST), card("NVIDIA L4", 1))
    plan = resolve(Request(**asked), cards)
    assert (plan.device.uuid, plan.cell.gpu) == (cards[1].uuid, "l4")


@pytest.mark.parametrize("name", ["NVIDIA L4", ""])
@pytest.mark.parametrize("asked", [{"device": "0"}, {"gpu": "l4", "device": "0"}])
def test_a_dead_card_that_is_asked_for_is_named(card: MakeCard, asked: dict[str, str], name: str) -> None:
    called = r"gpu 0 \(NVIDIA L4\)" if name else "gpu 0"
    with pytest.raises(GpuNotFound, match=f"^{called} does not answer: {LOST}: choose another card"):
        resolve(Request(**asked), (card(name, fault=LOST), card("NVIDIA L4", 1)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gpu": "h200"}, r"this machine has no H200.*: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
        ({"device": "GPU-00000000"}, r"no GPU matches device=GPU-0+: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
        ({"device": "2"}, r"no GPU matches device=2: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
    ],
)
def test_a_missing_gpu_may_be_the_dead_one(card: MakeCard, asked: dict[str, str], said: str) -> None:
    with pytest.raises(GpuNotFound, match=f"{said}: {LOST}"):
        resolve(Request(**asked), (card("", fault=LOST), card("NVIDIA L4", 1)))


def test_a_gpu_of_which_only_the_dead_one_is_there_is_named(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound, match=r"^gpu 0 \(NVIDIA H200\) does not answer: " + LOST):
        resolve(Request(gpu="h200"), (card("NVIDIA H200", fault=LOST), card("NVIDIA L4", 1)))


def test_two_healthy_cards_stay_ambiguous_beside_a_dead_one(card: MakeCard) -> None:
    with pytest.raises(GpuAmbiguous, match="2 GPUs match the request"):
        resolve(Request(), (card("", fault=LOST), card("NVIDIA L4", 1), card("NVIDIA L4", 2)))


@pytest.mark.parametrize(
    ("visible", "installed", "said"),
    [
        ("", 0, "found no GPU (CUDA_VISIBLE_DEVICES='' may hide others); choose gpu=auto or gpu=cpu"),
        ("0", 1, "found NVIDIA L4 (gpu 0) (CUDA_VISIBLE_DEVICES='0' may hide others)"),
    ],
)
def test_a_gpu_that_is_hidden_is_not_said_to_be_missing_without_a_hint(
    card: MakeCard, monkeypatch: pytest.MonkeyPatch, visible: str, installed: int, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="h200"), (card("NVIDIA L4"),) * installed)
    assert said in str(caught.value)


@pytest.mark.parametrize("gpu", ["auto", "nvidia-h100-pcie"])
def test_a_card_that_the_catalogue_lacks_is_measured_under_its_own_name(card: MakeCard, gpu: str) -> None:
    plan = resolve(Request(gpu=gpu), (card("NVIDIA H100 PCIe", memory_bytes=80 * 10**9),))
    assert (plan.cell.gpu, plan.device.bandwidth_gbs, plan.device.catalogued) == ("nvidia-h100-pcie", None, False)


def test_auto_is_a_model_for_the_kind_of_device_that_can_be_measured(card: MakeCard) -> None:
    assert cards.default_model(()) == "qwen2.5-0.5b"
    assert cards.default_model((card("NVIDIA L4", fault=LOST), card("NVIDIA L4", 1))) == "qwen2.5-7b"
    assert cards.default_model((card("NVIDIA H200", mig=True),)) is None


def test_a_card_that_the_catalogue_lacks_is_named_by_letters_and_digits(card: MakeCard) -> None:
    assert cards.gpu_key(card("NVIDIA L4")) == "l4"
    assert cards.gpu_key(card("NVIDIA X-1 (Super)")) == "nvidia-x-1-super"
