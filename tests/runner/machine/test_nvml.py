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

from runner.cell.jsonform import to_json
from runner.errors import GpuNotFound, MissingPackage
from runner.machine import host, nvml
from tests.fakes.pynvml_fake import FIRST, NEWER, QUESTIONS, SECOND, SLICE, Card, Driver, old_module, use

pytestmark = pytest.mark.usefixtures("bare_machine")


def snapshot(uuid: str | None) -> dict[str, Any]:
    """Returns the snapshot of a card as its record has it."""
    taken: dict[str, Any] = to_json(nvml.snapshot(uuid))
    return taken


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


def test_a_card_cut_into_slices_is_listed_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST), Card(SECOND, mig=(1, 1), slices=(SLICE,))]))
    assert [gpu.mig for gpu in nvml.list_gpus()] == [False, True]
    assert [gpu.obstacle for gpu in nvml.list_gpus()] == [
        None,
        "gpu 1 (NVIDIA H100 80GB HBM3) is in MIG mode, and a slice of a card has no known bandwidth, and so no floor",
    ]


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
    assert snapshot(FIRST)["why"] == "no NVIDIA GPU"


def test_a_driver_without_cards_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver())
    assert nvml.list_gpus() == ()


def test_a_driver_mismatch_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(init_error=real.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    with pytest.raises(GpuNotFound, match="RM has detected an NVML/RM version mismatch") as caught:
        nvml.list_gpus()
    assert "\n" not in str(caught.value)
    assert "version mismatch" in snapshot(FIRST)["why"]


INIT_ERRORS = [
    real.NVML_ERROR_UNKNOWN,
    real.NVML_ERROR_NO_PERMISSION,
    real.NVML_ERROR_TIMEOUT,
    real.NVML_ERROR_GPU_IS_LOST,
    real.NVML_ERROR_OPERATING_SYSTEM,
]


@pytest.mark.parametrize("code", INIT_ERRORS)
def test_a_driver_that_fails_is_not_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    use(monkeypatch, Driver(init_error=code))
    with pytest.raises(GpuNotFound, match="the NVIDIA driver does not answer: NVML said"):
        nvml.list_gpus()


@pytest.mark.parametrize("code", [0, real.NVML_ERROR_DRIVER_NOT_LOADED, real.NVML_ERROR_GPU_NOT_FOUND])
def test_device_files_that_nvml_knows_nothing_of_are_not_a_machine_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    """As where the only card has fallen off the bus."""
    use(monkeypatch, Driver(init_error=code))
    (tmp_path / "nvidia0").touch()
    with pytest.raises(GpuNotFound):
        nvml.list_gpus()


BROKEN = [
    real.NVML_ERROR_GPU_IS_LOST,
    real.NVML_ERROR_UNKNOWN,
    real.NVML_ERROR_NOT_FOUND,
    real.NVML_ERROR_NO_PERMISSION,
    real.NVML_ERROR_RESET_REQUIRED,
    real.NVML_ERROR_IRQ_ISSUE,
]


def said_of(code: int) -> str:
    return f"NVML said {str(real.NVMLError(code))!r}"


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize(
    ("function", "known"),
    [
        ("nvmlDeviceGetHandleByIndex", ("", "")),
        ("nvmlDeviceGetUUID", ("", "")),
        ("nvmlDeviceGetName", (FIRST, "")),
        ("nvmlDeviceGetCudaComputeCapability", (FIRST, "NVIDIA H100 80GB HBM3")),
        ("nvmlDeviceGetMemoryInfo", (FIRST, "NVIDIA H100 80GB HBM3")),
        ("nvmlDeviceGetMigMode", (FIRST, "NVIDIA H100 80GB HBM3")),
    ],
)
def test_a_dead_card_keeps_its_place_beside_a_healthy_one(
    monkeypatch: pytest.MonkeyPatch, function: str, known: tuple[str, str], code: int
) -> None:
    driver = use(monkeypatch, Driver(cards=[Card(FIRST, faults={function: code}), Card(SECOND, name="NVIDIA L4")]))
    dead, healthy = nvml.list_gpus()
    assert (dead.index, dead.uuid, dead.name) == (0, *known)
    assert dead.fault == said_of(code)
    called = "gpu 0 (NVIDIA H100 80GB HBM3)" if known[1] else "gpu 0"
    assert dead.obstacle == f"{called} does not answer: {said_of(code)}"
    assert (healthy.index, healthy.uuid, healthy.obstacle) == (1, SECOND, None)
    for named in ("1", SECOND, "0,1", "1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert [gpu for gpu in nvml.list_gpus() if gpu.obstacle is None] == [healthy]
    assert driver.open_sessions == 0


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        (None, ["gpu 0 does not answer: NVML said 'GPU is lost'; gpu 1 does", "'Unknown Error'"]),
        ("1", ["gpu 1 does not answer: NVML said 'Unknown Error'"]),
        (FIRST, ["names no GPU of this machine", "gpu 0 does not answer: NVML said 'GPU is lost'"]),
    ],
)
def test_dead_cards_alone_are_an_error_that_names_each(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, said: list[str]
) -> None:
    cards = [Card(FIRST, gone=real.NVML_ERROR_GPU_IS_LOST), Card(SECOND, gone=real.NVML_ERROR_UNKNOWN)]
    use(monkeypatch, Driver(cards=cards))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound) as caught:
        nvml.list_gpus()
    assert all(text in str(caught.value) for text in said)
    assert "gpu=cpu" in str(caught.value)


def use_old(monkeypatch: pytest.MonkeyPatch, driver: Driver, without: tuple[str, ...] = NEWER) -> Driver:
    monkeypatch.setitem(sys.modules, "pynvml", old_module(driver, without))
    return driver


@pytest.mark.parametrize("without", [NEWER, ()])
def test_old_bindings_tell_the_same_of_a_card(monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]) -> None:
    cards = [Card(FIRST), Card(SECOND, name="NVIDIA L4", capability=(8, 9))]
    use(monkeypatch, Driver(cards=cards))
    expected, state = nvml.list_gpus(), snapshot(SECOND)
    driver = use_old(monkeypatch, Driver(cards=cards), without)
    monkeypatch.setattr(nvml, "_from_library", lambda function, handle: QUESTIONS[function](handle.card))
    assert nvml.list_gpus() == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SECOND)
    assert uuids() == [SECOND]
    old = snapshot(SECOND)
    differing = {name for name in state if old[name] != state[name]} - {"taken_ms"}
    assert differing == ({"other_processes"} if without else set())  # only their own function knows its struct
    json.dumps(old)
    assert driver.open_sessions == 0


def test_where_nothing_tells_the_compute_capability_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    use_old(monkeypatch, Driver(cards=[Card(FIRST)]))
    assert [(gpu.compute_capability, gpu.mig, gpu.fault) for gpu in nvml.list_gpus()] == [(None, False, None)]


def test_a_text_of_old_bindings_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    use_old(monkeypatch, Driver(cards=[Card(FIRST)]))
    error = real.NVMLError(real.NVML_ERROR_UNKNOWN)
    monkeypatch.setattr(type(error), "__str__", lambda _: str(b"GPU not found"))
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetCount", lambda: raise_(error))
    with pytest.raises(GpuNotFound, match="NVML said 'GPU not found'"):
        nvml.list_gpus()


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("text", ["print 'for Python 2'\n", "x = 1\n", "raise OSError('no such file')\n"])
def test_a_module_that_is_no_bindings_is_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "pynvml.py").write_text(text)
    monkeypatch.delitem(sys.modules, "pynvml")
    monkeypatch.syspath_prepend(tmp_path)
    assert nvml.list_gpus() == ()
    (tmp_path / "nvidia0").touch()
    with pytest.raises(MissingPackage, match="pip install nvidia-ml-py"):
        nvml.list_gpus()
    sys.modules.pop("pynvml", None)


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
    assert snapshot(FIRST)["why"] == "the Python package nvidia-ml-py is missing"
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
    taken = snapshot(FIRST)
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
    without, found = snapshot(None), snapshot(FIRST)
    assert (without["available"], without["why"]) == (False, "no NVIDIA GPU")
    assert without.keys() == found.keys()
    assert {without[name] for name in nvml.SNAPSHOT_FIELDS} == {None}
    assert three.inits == 1


def test_a_card_that_is_gone_is_said_without_its_uuid(three: Driver) -> None:
    taken = snapshot("GPU-99999999-aaaa-bbbb-cccc-000000000009")
    assert not taken["available"]
    assert "Not Found" in taken["why"]
    assert "GPU-9" not in json.dumps(taken)
    assert three.open_sessions == 0


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByUUID", "nvmlDeviceGetUUID", "everything"])
def test_a_card_lost_in_the_session_is_said_in_the_snapshot(
    monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    card = Card(FIRST, gone=code)
    if function != "everything":
        card = Card(FIRST, gone=code, faults={"nvmlDeviceGetHandleByUUID": 0, function: code})
    driver = use(monkeypatch, Driver(cards=[card]))
    taken = snapshot(FIRST)
    assert (taken["available"], taken["why"]) == (False, f"the GPU does not answer: {said_of(code)}")
    assert {taken[name] for name in nvml.SNAPSHOT_FIELDS} == {None}
    assert driver.open_sessions == 0


def test_one_question_that_fails_costs_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, faults={"nvmlDeviceGetPowerUsage": real.NVML_ERROR_UNKNOWN})
    use(monkeypatch, Driver(cards=[card]))
    taken = snapshot(FIRST)
    assert (taken["available"], taken["power_w"], taken["temperature_c"]) == (True, None, 31)


def test_a_card_lost_between_two_questions_is_not_half_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, faults={"nvmlDeviceGetEccMode": real.NVML_ERROR_GPU_IS_LOST})
    use(monkeypatch, Driver(cards=[card]))
    taken = snapshot(FIRST)
    assert (taken["available"], taken["temperature_c"]) == (False, None)


@pytest.mark.parametrize("error", [TypeError("x"), AttributeError("x"), OSError("x"), ValueError("x")])
def test_bindings_that_fail_cost_no_session(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    driver = use(monkeypatch, Driver(cards=[Card(FIRST)]))
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetPowerUsage", lambda _: raise_(error))
    taken = snapshot(FIRST)
    assert (taken["available"], taken["why"]) == (False, f"the NVML bindings failed ({type(error).__name__})")
    assert driver.open_sessions == 0


@pytest.mark.parametrize("mode", ["unsupported", "absent from the bindings"])
def test_what_a_driver_does_not_support_is_null(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    names = tuple(QUESTIONS)
    unsupported, without = (names, ()) if mode == "unsupported" else ((), names)
    driver = use(monkeypatch, Driver(cards=[Card(FIRST, unsupported=unsupported)]), without)
    taken = snapshot(FIRST)
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
    taken = snapshot(FIRST)
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
    assert snapshot(FIRST)["throttle_reasons"] == names


def test_the_names_of_the_reasons_are_nvmls() -> None:
    for bit, name in nvml.THROTTLE_REASONS.items():
        assert getattr(real, "nvmlClocksEventReason" + name.title().replace("_", "")) == bit


def test_ecc_switched_off_is_not_the_same_as_no_ecc(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, ecc=(0, 1), unsupported=("nvmlDeviceGetTotalEccErrors",))
    use(monkeypatch, Driver(cards=[card, Card(SECOND, unsupported=("nvmlDeviceGetEccMode",))]))
    assert snapshot(FIRST)["ecc"] == {"enabled": False, "corrected": None, "uncorrected": None}
    assert snapshot(SECOND)["ecc"] is None


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
    taken = snapshot(FIRST)
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
    text = json.dumps(snapshot(SECOND), allow_nan=False)
    assert three.inits == 1
    assert SECOND not in text
    assert str(os.getpid()) not in json.dumps({k: v for k, v in json.loads(text).items() if k != "taken_ms"})


def uuids() -> list[str]:
    return [gpu.uuid for gpu in nvml.list_gpus()]


def test_the_users_of_a_card_are_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(monkeypatch, Driver(cards=[Card(FIRST, processes=(99_999_997, os.getpid(), 99_999_996))]))
    assert nvml.users(FIRST) == (99_999_996, 99_999_997)
    assert driver.open_sessions == 0


def test_a_card_may_not_report_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, unsupported=nvml.PROCESSES)]))
    assert nvml.users(FIRST) is None


def test_a_lost_card_has_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, gone=nvml.GPU_IS_LOST)]))
    with pytest.raises(GpuNotFound, match="does not answer"):
        nvml.users(FIRST)


def test_an_open_card_is_read_without_opening_nvml_again(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(FIRST, energy_mj=lambda: 12_345, power_mw=71_250, clocks=(1755, 2619), throttle_mask=0x4)
    driver = use(monkeypatch, Driver(cards=[card]))
    with nvml.opened(FIRST) as found:
        assert (found.energy_mj(), found.power_w()) == (12_345, 71.25)
        assert (found.sm_clock_mhz(), found.memory_clock_mhz()) == (1755, 2619)
        assert found.throttle_reasons() == ("sw_power_cap",)
        assert (driver.inits, driver.open_sessions) == (1, 1)
    assert driver.open_sessions == 0


COUNTER = "nvmlDeviceGetTotalEnergyConsumption"


@pytest.mark.parametrize("code", [real.NVML_ERROR_NOT_SUPPORTED, real.NVML_ERROR_FUNCTION_NOT_FOUND])
def test_a_card_without_an_energy_counter_has_none(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, faults={COUNTER: code})]))
    with nvml.opened(FIRST) as found:
        assert found.energy_mj() is None


def test_bindings_without_the_energy_counter_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST)]), without=(COUNTER,))
    with nvml.opened(FIRST) as found:
        assert found.energy_mj() is None


def test_a_counter_that_only_root_reads_is_a_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(cards=[Card(FIRST, faults={COUNTER: real.NVML_ERROR_NO_PERMISSION})]))
    with nvml.opened(FIRST) as found, pytest.raises(PermissionError, match="NVML said 'Insufficient Permissions'"):
        found.energy_mj()


def test_a_card_that_is_lost_while_it_is_open_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(monkeypatch, Driver(cards=[Card(FIRST)]))

    def lose() -> None:
        with nvml.opened(FIRST) as found:
            driver.cards[0].gone = real.NVML_ERROR_GPU_IS_LOST
            found.sm_clock_mhz()

    with pytest.raises(GpuNotFound, match="the GPU does not answer: NVML said 'GPU is lost'"):
        lose()
    assert driver.open_sessions == 0


def test_a_machine_without_a_gpu_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver(init_error=real.NVML_ERROR_DRIVER_NOT_LOADED))
    with pytest.raises(GpuNotFound, match=r"^no NVIDIA GPU$"), nvml.opened(FIRST):
        pass
