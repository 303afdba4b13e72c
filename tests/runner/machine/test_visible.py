"""CUDA_VISIBLE_DEVICES is read as CUDA reads it, and a list that names no card is an error."""

from __future__ import annotations

import pynvml as real
import pytest

from runner.errors import GpuNotFound
from runner.machine import nvml, visible
from tests.fakes.pynvml_fake import FIRST, SECOND, SLICE, THIRD, Card, Driver, use

pytestmark = pytest.mark.usefixtures("bare_machine")


def uuids() -> list[str]:
    return [gpu.uuid for gpu in nvml.list_gpus()]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [FIRST, SECOND, THIRD]),
        ("", []),
        ("-1", []),
        ("2,0", [THIRD, FIRST]),
        (" 1 , 2 ", [SECOND, THIRD]),
        ("1,-1,2", [SECOND]),
        ("0,7,2", [FIRST]),
        ("1,1", [SECOND]),  # CUDA refuses such a list whole, but the card that is meant is clear
        (f"{THIRD},{FIRST}", [THIRD, FIRST]),
        ("GPU-1111", [FIRST]),
        ("GPU-22222", [SECOND]),
        ("gpu-1111", [FIRST]),
        ("  ", []),
        (",", []),
        ("-1,0", []),
        # the rest as the CUDA driver 580 was seen to read it
        ("0,", [FIRST]),
        ("0,GPU-deadbeef,1", [FIRST]),
        (f"0,{SLICE}", [FIRST]),
        ("0 1", [FIRST]),
        ("2;0", [THIRD]),
        ("+1", [SECOND]),
        ("00", [FIRST]),
        ("1gpu2", [SECOND]),
        (f"{SECOND},0", [SECOND, FIRST]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    three: Driver, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert uuids() == expected
    assert three.open_sessions == 0


NAMES_NONE = [
    "cuda:0",
    "all",
    "none",
    "void",
    "NoDevFiles",
    "nonsense",
    "1111",  # an index beyond the last, never the beginning of a UUID
    "3",
    "9" * 5000,
    "-2",
    "7,0",
    ",0",
    '"0"',
    "٠",  # a digit to Python, none to CUDA
    "GPU-deadbeef-aaaa-bbbb-cccc-000000000001",
    "GPU-deadbeef,0",
    "GPU-",
    "GPU",
    FIRST.removeprefix("GPU-"),
]


@pytest.mark.parametrize("visible", NAMES_NONE)
def test_a_list_that_names_no_card_is_said_with_what_there_is(
    three: Driver, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound) as caught:
        nvml.list_gpus()
    said = str(caught.value)
    assert said.startswith(f"CUDA_VISIBLE_DEVICES={visible!r} names no GPU of this machine (gpu 0: NVIDIA H100")
    assert f"gpu 1: NVIDIA L4 {SECOND}" in said
    assert "gpu=cpu" in said
    assert three.open_sessions == 0


def test_the_beginning_of_several_uuids_names_none(three: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2222")
    with pytest.raises(GpuNotFound, match="CUDA_VISIBLE_DEVICES='GPU-2222' is a prefix of several UUIDs"):
        nvml.list_gpus()
    assert three.inits == 1


@pytest.mark.parametrize("visible", ["0", "cuda:0", FIRST, "all"])
def test_a_card_that_is_named_on_a_machine_without_any_is_not_the_cpu(
    monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    use(monkeypatch, Driver(init_error=real.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound, match="and this machine has none: unset it, or choose gpu=cpu"):
        nvml.list_gpus()


@pytest.mark.parametrize("visible", [SLICE, f"MIG-{FIRST}/1/0", f"{SLICE},0", "MIG-deadbeef", "mig-1"])
@pytest.mark.parametrize("present", [True, False])
def test_a_slice_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, visible: str, present: bool) -> None:
    cards = [Card(FIRST, mig=(1, 1), slices=(SLICE,))] if present else []
    use(monkeypatch, Driver(cards=cards))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound) as caught:
        nvml.list_gpus()
    assert str(caught.value).startswith(f"CUDA_VISIBLE_DEVICES={visible!r} names a MIG instance: a slice of a card has")
    assert "no known bandwidth" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "uuid", "named"),
    [
        (FIRST, FIRST, True),
        ("gpu-1", FIRST, True),
        (FIRST.upper(), FIRST, True),
        (FIRST + "0", FIRST, False),
        ("GPU-aaaa", FIRST, False),  # it stands in the middle
        (FIRST, f"MIG-{FIRST}/1/0", False),
        ("GPU-", FIRST, False),
        ("G", FIRST, False),
        ("GPU-1", "", False),
    ],
)
def test_a_card_is_named_by_the_beginning_of_its_uuid_alone(word: str, uuid: str, named: bool) -> None:
    assert visible.is_uuid_prefix(word, uuid) is named


def test_indices_stay_those_of_nvml(three: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [gpu.index for gpu in nvml.list_gpus()] == [2, 0]
    assert three.inits == 1


@pytest.mark.parametrize(
    ("value", "hides"), [(None, False), ("", True), (" ,\t", True), ("-1", True), ("-1,0", True), ("0,-1", False)]
)
def test_only_an_empty_list_or_a_leading_minus_one_hides_all(
    monkeypatch: pytest.MonkeyPatch, value: str | None, hides: bool
) -> None:
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible.hides_all() is hides
    assert visible.hint() == ("" if value is None else f" (CUDA_VISIBLE_DEVICES={value!r} may hide others)")
