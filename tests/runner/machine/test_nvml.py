"""Which GPUs there are, and what a snapshot says, over a pretended driver that behaves as NVML does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml as real
import pytest

from runner.errors import GpuNotFound, MissingPackage
from runner.machine import host, nvml
from tests.fakes.pynvml_fake import QUESTIONS, Card, Driver, module

FIRST = "GPU-11111111-aaaa-bbbb-cccc-000000000001"
SECOND = "GPU-22222222-aaaa-bbbb-cccc-000000000002"
THIRD = "GPU-22229999-aaaa-bbbb-cccc-000000000003"
SLICE = "MIG-33333333-aaaa-bbbb-cccc-000000000004"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No device files, no nvidia-smi, no CUDA_VISIBLE_DEVICES, no torch, whatever this machine has."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml, "DEV", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def use(monkeypatch: pytest.MonkeyPatch, driver: Driver, without: tuple[str, ...] = ()) -> Driver:
    monkeypatch.setitem(sys.modules, "pynvml", module(driver, without))
    return driver


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Driver:
    cards = [Card(FIRST), Card(SECOND, name="NVIDIA L4", capability=(8, 9)), Card(THIRD)]
    return use(monkeypatch, Driver(cards=cards))


def uuids() -> list[str]:
    return [gpu.uuid for gpu in nvml.list_gpus()]


def test_a_card_is_listed_with_what_nvml_says(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(monkeypatch, Driver(cards=[Card(FIRST)]))
    assert nvml.list_gpus() == (
        nvml.InstalledGpu(
            index=0,
            uuid=FIRST,
            name="NVIDIA H100 80GB HBM3",
            memory_bytes=85_520_809_984,
            compute_capability="9.0",
            driver="580.159.04",
            mig=False,
        ),
    )
    assert (driver.inits, driver.open_sessions) == (1, 0)


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
        ("1,1", [SECOND]),
        (f"{THIRD},{FIRST}", [THIRD, FIRST]),
        ("GPU-1111", [FIRST]),
        ("GPU-22222", [SECOND]),
        ("GPU-2222", []),  # two cards begin so
        ("gpu-1111", [FIRST]),
        ("1111", []),  # an index beyond the last, never the beginning of a UUID
        ("nonsense", []),
        (",0", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    three: Driver, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert uuids() == expected
    assert three.open_sessions == 0


def test_indices_stay_those_of_nvml(three: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [gpu.index for gpu in nvml.list_gpus()] == [2, 0]
    assert three.inits == 1


def test_a_card_cut_into_slices_is_listed_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST), Card(SECOND, mig=(1, 1), slices=(SLICE,))]))
    assert [gpu.mig for gpu in nvml.list_gpus()] == [False, True]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SLICE)
    assert uuids() == [SECOND]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SLICE.replace("3333", "4444"))
    assert uuids() == []


def test_mig_pending_until_a_reset_is_not_mig(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, mig=(0, 1))]))
    assert [gpu.mig for gpu in nvml.list_gpus()] == [False]


def test_unified_memory_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    unsupported = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMigMode")
    use(monkeypatch, Driver(cards=[Card(FIRST, name="NVIDIA GB10", unsupported=unsupported)]))
    monkeypatch.setattr(host, "memory_bytes", lambda: 128_000_000_000)
    assert [(gpu.memory_bytes, gpu.mig) for gpu in nvml.list_gpus()] == [(128_000_000_000, False)]


@pytest.mark.parametrize(
    "code",
    [real.NVML_ERROR_LIBRARY_NOT_FOUND, real.NVML_ERROR_DRIVER_NOT_LOADED, real.NVML_ERROR_GPU_NOT_FOUND],
)
def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    use(monkeypatch, Driver(init_error=code))
    assert nvml.list_gpus() == ()
    assert nvml.snapshot(FIRST)["why"] == "no NVIDIA GPU"


def test_a_driver_without_cards_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver())
    assert nvml.list_gpus() == ()


def test_a_driver_mismatch_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(init_error=real.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    with pytest.raises(GpuNotFound, match="RM has detected an NVML/RM version mismatch") as caught:
        nvml.list_gpus()
    assert "\n" not in str(caught.value)
    assert "version mismatch" in nvml.snapshot(FIRST)["why"]


def test_a_lost_card_is_an_error_and_nvml_is_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    unsupported = ("nvmlDeviceGetCudaComputeCapability",)
    driver = use(monkeypatch, Driver(cards=[Card(FIRST, unsupported=unsupported)]))
    with pytest.raises(GpuNotFound, match="Not Supported"):
        nvml.list_gpus()
    assert driver.open_sessions == 0


def test_device_files_without_the_library_are_not_a_machine_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, Driver(init_error=real.NVML_ERROR_LIBRARY_NOT_FOUND))
    (tmp_path / "nvidia3").touch()
    with pytest.raises(GpuNotFound, match="NVIDIA_DRIVER_CAPABILITIES"):
        nvml.list_gpus()


@pytest.fixture
def no_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it now raises ImportError


@pytest.mark.usefixtures("no_bindings")
def test_missing_bindings_matter_only_where_there_is_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()  # no card of that name
    assert nvml.list_gpus() == ()
    (tmp_path / "nvidia0").touch()
    with pytest.raises(MissingPackage, match="pip install nvidia-ml-py") as caught:
        nvml.list_gpus()
    assert "\n" not in str(caught.value)
    assert nvml.snapshot(FIRST)["why"] == "the Python package nvidia-ml-py is missing"
    (tmp_path / "nvidia0").unlink()
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    with pytest.raises(MissingPackage):
        nvml.list_gpus()
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert nvml.list_gpus() == ()  # nobody asked for a GPU


def test_a_snapshot_has_every_field_in_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, clocks=(1755, 2600), clocks_max=(1980, 2619), ecc_errors=(4, 1))
    driver = use(monkeypatch, Driver(cards=[Card(SECOND, clocks=(1, 1)), card]))
    taken = nvml.snapshot(FIRST)
    assert isinstance(taken.pop("taken_ms"), int)
    assert taken == {
        "available": True,
        "why": None,
        "temperature_c": 31,
        "power_w": 71.25,  # 71250 mW
        "power_limit_w": 700.0,
        "sm_clock_mhz": 1755,
        "sm_clock_max_mhz": 1980,
        "memory_clock_mhz": 2600,
        "memory_clock_max_mhz": 2619,
        "memory_used_bytes": 612_368_384,
        "memory_total_bytes": 85_520_809_984,
        "utilisation_percent": 3,
        "memory_utilisation_percent": 1,
        "throttle_reasons": ["gpu_idle"],
        "ecc": {"enabled": True, "corrected": 4, "uncorrected": 1},
        "performance_state": 0,
        "other_processes": 0,
        "process_ids_visible": None,
    }
    assert (driver.inits, driver.open_sessions) == (1, 0)


def test_a_snapshot_without_a_gpu_says_so_with_the_same_fields(three: Driver) -> None:
    without, found = nvml.snapshot(None), nvml.snapshot(FIRST)
    assert (without["available"], without["why"]) == (False, "no NVIDIA GPU")
    assert without.keys() == found.keys()
    assert {without[name] for name in nvml.SNAPSHOT_FIELDS} == {None}
    assert three.inits == 1


def test_a_card_that_is_gone_is_said_without_its_uuid(three: Driver) -> None:
    taken = nvml.snapshot("GPU-99999999-aaaa-bbbb-cccc-000000000009")
    assert not taken["available"]
    assert "Not Found" in taken["why"]
    assert "GPU-9" not in json.dumps(taken)
    assert three.open_sessions == 0


@pytest.mark.parametrize("mode", ["unsupported", "absent from the bindings"])
def test_what_a_driver_does_not_support_is_null(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    names = tuple(QUESTIONS)
    unsupported, without = (names, ()) if mode == "unsupported" else ((), names)
    driver = use(monkeypatch, Driver(cards=[Card(FIRST, unsupported=unsupported)]), without)
    taken = nvml.snapshot(FIRST)
    assert taken["available"]
    assert {name for name in nvml.SNAPSHOT_FIELDS if taken[name] is not None} == set()
    assert driver.open_sessions == 0


def test_older_and_newer_names_of_functions_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = (
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    )
    use(monkeypatch, Driver(cards=[Card(FIRST, unsupported=gone)]))
    taken = nvml.snapshot(FIRST)
    assert (taken["temperature_c"], taken["throttle_reasons"]) == (31, ["gpu_idle"])
    assert taken["other_processes"] == 0


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (0, []),
        (0x1 | 0x4, ["gpu_idle", "sw_power_cap"]),
        (0x20 | 0x8 | 0x2, ["applications_clocks_setting", "hw_slowdown", "sw_thermal_slowdown"]),
        (0x40 | 0x80 | 0x10, ["hw_power_brake_slowdown", "hw_thermal_slowdown", "sync_boost"]),
        (0x100, ["display_clock_setting"]),
        (0x4000, ["unknown_0x4000"]),
    ],
)
def test_throttle_reasons_are_named_and_sorted(monkeypatch: pytest.MonkeyPatch, mask: int, names: list[str]) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, throttle_mask=mask)]))
    assert nvml.snapshot(FIRST)["throttle_reasons"] == names


def test_the_names_of_the_reasons_are_nvmls() -> None:
    for bit, name in nvml.THROTTLE_REASONS.items():
        assert getattr(real, "nvmlClocksEventReason" + name.title().replace("_", "")) == bit


def test_ecc_switched_off_is_not_the_same_as_no_ecc(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, ecc=(0, 1), unsupported=("nvmlDeviceGetTotalEccErrors",))
    use(monkeypatch, Driver(cards=[card, Card(SECOND, unsupported=("nvmlDeviceGetEccMode",))]))
    assert nvml.snapshot(FIRST)["ecc"] == {"enabled": False, "corrected": None, "uncorrected": None}
    assert nvml.snapshot(SECOND)["ecc"] is None


@pytest.fixture
def child() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A live process outside our family: it was handed to the init process when the one we started ended."""
    script = "sleep 60 >/dev/null 2>&1 & echo $!"
    started = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    pid = int(started.stdout)
    yield pid
    os.kill(pid, 9)


def others(monkeypatch: pytest.MonkeyPatch, *pids: int) -> tuple[Any, Any]:
    use(monkeypatch, Driver(cards=[Card(FIRST, processes=pids)]))
    taken = nvml.snapshot(FIRST)
    return taken["other_processes"], taken["process_ids_visible"]


def test_only_processes_outside_our_family_are_others(
    monkeypatch: pytest.MonkeyPatch, child: int, stranger: int
) -> None:
    ours = (os.getpid(), os.getppid(), child)
    assert others(monkeypatch, *ours) == (0, True)
    assert others(monkeypatch, *ours, stranger) == (1, True)
    assert others(monkeypatch, stranger) == (1, None)
    assert others(monkeypatch, os.getpid(), 4_194_999, 4_194_998) == (
        2,
        True,
    )  # ended, or of another container


@pytest.mark.parametrize("listed", [(), (4_194_999,)])
def test_nothing_is_said_of_others_when_our_own_process_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, listed: tuple[int, ...]
) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert others(monkeypatch, *listed) == (None, False)


def test_a_program_name_with_brackets_does_not_hide_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "stat").write_text(f"77 (a) R 1 (b) S {os.getpid()} 77 77 0 -1\n")
    monkeypatch.setattr(host, "PROC", tmp_path)
    assert others(monkeypatch, 77, os.getpid()) == (0, True)


def test_a_snapshot_is_json_and_names_nothing(three: Driver) -> None:
    text = json.dumps(nvml.snapshot(SECOND), allow_nan=False)
    assert three.inits == 1
    assert SECOND not in text
    assert str(os.getpid()) not in json.dumps({k: v for k, v in json.loads(text).items() if k != "taken_ms"})
