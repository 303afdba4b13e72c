"""GPUs as NVML reports them: the installed ones, and a snapshot of one before and after a session.

NVML is NVIDIA's management library, which nvidia-smi uses. It is opened and shut down in each call, so that it is not
active inside a timed window. Only the pass that measures energy keeps it open (`opened`), and no step is timed there.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from runner.errors import GpuNotFound, MissingPackage
from runner.machine import host, visible
from runner.machine.installedgpu import InstalledGpu
from runner.processes import proc
from runner.record.sections.surroundings import Ecc, Snapshot

DEV = Path("/dev")
LIBRARY = "libnvidia-ml.so.1"
NO_GPU = "no NVIDIA GPU"
ASK_DRIVER = "nvidia-smi should say the same (after a driver update a reboot, or a restart of the container, is needed)"
ASK_CARD = "nvidia-smi should say the same (a reset of the card or a reboot may help; gpu=cpu measures on the CPU)"
# NVML's error codes (nvml.h). Older bindings have the codes of newer errors, but not their classes.
NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 3, 4, 9, 12, 13
GPU_IS_LOST, NO_CARD = 15, 28
ABSENT = (DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, NO_CARD)
UNSUPPORTED = (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
# Functions with several names, depending on the driver; the usual one first. The bindings' unversioned
# nvmlDeviceGetComputeRunningProcesses raises an error that is no NVMLError if the driver has only _v2.
TEMPERATURE = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
CLOCKS_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
PROCESSES = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
# bits of the clocks event (formerly throttle) reasons, nvml.h
THROTTLE_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
ALWAYS_SET = ("available", "why", "taken_ms")
SNAPSHOT_FIELDS = tuple(field.name for field in fields(Snapshot) if field.name not in ALWAYS_SET)
"""Fields that the card reports; None if not supported."""


Gpus = tuple[InstalledGpu, ...]


class _NoGpu(Exception):
    """No NVIDIA GPU, or none that the driver can use. This is a result, not a failure."""


def _driver_traces() -> bool:
    """Returns whether there is a sign of an NVIDIA driver that does not need NVML."""
    return _device_files() or shutil.which("nvidia-smi") is not None


def _device_files() -> bool:
    return any(DEV.glob("nvidia[0-9]*"))


def _bindings() -> Any:
    """Returns the module `pynvml`.

    Raises MissingPackage if it is missing and there is a driver, _NoGpu if there is no driver.
    """
    try:
        bindings = importlib.import_module("pynvml")
        _ = bindings.nvmlInit, bindings.NVMLError  # another package may have this name
        return bindings
    except Exception as error:  # bindings for Python 2 raise a SyntaxError
        if not _driver_traces():
            raise _NoGpu from error
        raise MissingPackage(
            "this machine has an NVIDIA driver, but the Python package nvidia-ml-py, which finds the GPUs, "
            f"cannot be imported by {sys.executable} ({error}): pip install nvidia-ml-py"
        ) from error


@contextmanager
def _session() -> Iterator[Any]:
    """Yields the bindings with NVML opened, and shuts it down. Raises _NoGpu, MissingPackage or GpuNotFound."""
    nvml = _bindings()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise _no_answer(error) from error
    try:
        yield nvml
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _no_answer(error: Exception) -> Exception:
    """Returns the error for a failed nvmlInit.

    A machine with a GPU's device files counts as one with a GPU: it may be a container without the library, or all
    cards may have fallen off the bus.
    """
    if _code(error) in ABSENT and not _device_files():
        return _NoGpu()
    if _code(error) == LIBRARY_NOT_FOUND:
        return GpuNotFound(
            f"this machine has an NVIDIA GPU, but not the driver's library {LIBRARY}: in a container, "
            "add `utility` to NVIDIA_DRIVER_CAPABILITIES"
        )
    return GpuNotFound(f"the NVIDIA driver does not answer: {_quoted(error)}; {ASK_DRIVER}")


def _code(error: Exception) -> int | None:
    """Returns the NVML code of an NVMLError."""
    return getattr(error, "value", None)


def _quoted(error: Exception) -> str:
    """Returns NVML's message. Bindings from before 2021 give newer messages as the repr of bytes."""
    bare = str(error).removeprefix("b'").removesuffix("'") if str(error).startswith("b'") else str(error)
    return f"NVML said {bare!r}"


def _text(answer: str | bytes) -> str:
    """Returns NVML's text, which bindings from before 2021 leave as bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def list_gpus() -> Gpus:
    """Returns the GPUs that may be used in CUDA's order: those in CUDA_VISIBLE_DEVICES, or all.

    Returns () if there is none, or if the variable hides all. A card that does not answer is included with its fault if
    another one answers.

    Raises MissingPackage if there is a driver but no `pynvml`. Raises GpuNotFound if the driver or all cards do not
    answer, or if CUDA_VISIBLE_DEVICES names none of them.
    """
    if visible.hides_all():
        return ()
    gpus = visible.visible_gpus(_all_gpus())
    if gpus and all(gpu.fault is not None for gpu in gpus):
        raise GpuNotFound(f"{'; '.join(gpu.obstacle or '' for gpu in gpus)}; {ASK_CARD}")
    return gpus


def _all_gpus() -> Gpus:
    try:
        with _session() as nvml:
            return _installed(nvml)
    except _NoGpu:
        return ()


def _installed(nvml: Any) -> Gpus:
    try:
        driver, count = _text(nvml.nvmlSystemGetDriverVersion()), nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise GpuNotFound(f"the NVIDIA driver does not answer: {_quoted(error)}; {ASK_DRIVER}") from error
    if count == 0 and _device_files():
        raise GpuNotFound(
            f"this machine has the device files of a GPU ({DEV}/nvidia*), but NVML lists none: it has fallen off the "
            "bus, or may not be used from here: reboot, or give this container the card (gpu=cpu measures on the CPU)"
        )
    return tuple(_describe(nvml, index, driver) for index in range(count))


def _describe(nvml: Any, index: int, driver: str) -> InstalledGpu:
    """Returns the card. One that stops answering is listed with what it reported before."""
    report: dict[str, Any] = {"uuid": "", "name": "", "memory_bytes": 0, "compute_capability": None, "mig": False}
    fault = None
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        report["uuid"] = _text(nvml.nvmlDeviceGetUUID(handle))
        report["name"] = _text(nvml.nvmlDeviceGetName(handle))
        report["compute_capability"] = _compute_capability(nvml, handle)
        memory = _supported(nvml, "nvmlDeviceGetMemoryInfo", handle)
        # unified memory (Jetson, GB10): NVML reports none, the GPU uses the host's
        report["memory_bytes"] = memory.total if memory is not None else host.memory_bytes()
        report["mig"] = _mig(nvml, handle)
    except nvml.NVMLError as error:
        fault = _quoted(error)
    return InstalledGpu(index=index, driver=driver, fault=fault, **report)


def _compute_capability(nvml: Any, handle: Any) -> str | None:
    function = "nvmlDeviceGetCudaComputeCapability"
    in_bindings = hasattr(nvml, function)
    version = nvml.nvmlDeviceGetCudaComputeCapability(handle) if in_bindings else _from_library(function, handle)
    return None if version is None else f"{version[0]}.{version[1]}"


def _mig(nvml: Any, handle: Any) -> bool:
    """Returns whether the card is partitioned now. The second number of the mode is the pending one."""
    function = "nvmlDeviceGetMigMode"
    in_bindings = hasattr(nvml, function)
    modes = _supported(nvml, function, handle) if in_bindings else _from_library(function, handle)
    return modes is not None and modes[0] == 1


def _from_library(function: str, handle: Any) -> tuple[int, int] | None:
    """Returns the two numbers that a function of the NVML library reports, for older bindings without it.

    Returns None if the library lacks it, too.
    """
    first, second = ctypes.c_int(), ctypes.c_int()
    try:
        call = getattr(ctypes.CDLL(LIBRARY), function)
        status = call(handle, ctypes.byref(first), ctypes.byref(second))
    except (OSError, AttributeError, ctypes.ArgumentError):
        return None
    return None if status else (first.value, second.value)


def _supported(nvml: Any, function: str, *arguments: Any) -> Any:
    """Returns an NVML function's result, or None if driver, bindings or card do not support it. Raises NVMLError."""
    call = getattr(nvml, function, None)
    try:
        return None if call is None else call(*arguments)
    except nvml.NVMLError as error:
        if _code(error) in UNSUPPORTED:
            return None
        raise


def _query(nvml: Any, function: str, *arguments: Any) -> Any:
    """Returns an NVML function's result, or None if it fails. Raises NVMLError only for a lost card."""
    try:
        return _supported(nvml, function, *arguments)
    except nvml.NVMLError as error:
        if _code(error) == GPU_IS_LOST:
            raise
        return None


def _first_result(nvml: Any, functions: tuple[str, ...], *arguments: Any) -> Any:
    """Returns the first result of functions that are names of one query."""
    results = (_query(nvml, function, *arguments) for function in functions)
    return next((result for result in results if result is not None), None)


def snapshot(uuid: str | None, taken_ms: int | None = None) -> Snapshot:
    """Returns the state of a card now, in °C, W, MHz, bytes and percent; unsupported fields are None.

    `uuid` is None for a session without a GPU. `taken_ms` is in ms since the epoch, by default the host's clock. Never
    raises, because a failed snapshot must not cost a session. Contains no names of host, card or processes.
    """
    answers: dict[str, Any] = dict.fromkeys(SNAPSHOT_FIELDS)
    why = None
    try:
        answers |= _state(uuid)
    except _NoGpu:
        why = NO_GPU
    except MissingPackage:  # its message contains a path of this machine
        why = "the Python package nvidia-ml-py is missing"
    except GpuNotFound as error:
        why = str(error)
    except Exception as error:  # bindings of another version may raise anything
        why = f"the NVML bindings failed ({type(error).__name__})"
    now_ms = time.time_ns() // 10**6 if taken_ms is None else taken_ms
    return Snapshot(available=why is None, why=why, taken_ms=now_ms, **answers)


def _state(uuid: str | None) -> dict[str, Any]:
    if uuid is None:
        raise _NoGpu
    with _session() as nvml:
        try:
            return _answers(nvml, _handle(nvml, uuid))
        except nvml.NVMLError as error:
            raise GpuNotFound(f"the GPU does not answer: {_quoted(error)}") from error


def _handle(nvml: Any, uuid: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid)
    except TypeError:  # bindings from before 2021 take bytes
        return nvml.nvmlDeviceGetHandleByUUID(uuid.encode())


def _answers(nvml: Any, handle: Any) -> dict[str, Any]:
    """Returns the fields of a snapshot. Raises NVMLError if the card is lost."""
    answers = {
        **_thermals(nvml, handle),
        **_clocks(nvml, handle),
        **_load(nvml, handle),
        "ecc": _ecc(nvml, handle),
        **_processes(nvml, handle),
    }
    if all(value is None for value in answers.values()):
        _supported(nvml, "nvmlDeviceGetUUID", handle)  # raises for a lost card
    return answers


def _thermals(nvml: Any, handle: Any) -> dict[str, Any]:
    power_mw = _query(nvml, "nvmlDeviceGetPowerUsage", handle)
    limit_mw = _query(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)
    return {
        "temperature_c": _first_result(nvml, TEMPERATURE, handle, nvml.NVML_TEMPERATURE_GPU),
        "power_w": None if power_mw is None else power_mw / 1000,
        "power_limit_w": None if limit_mw is None else limit_mw / 1000,
    }


def _clocks(nvml: Any, handle: Any) -> dict[str, Any]:
    return {
        "sm_clock_mhz": _query(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        "sm_clock_max_mhz": _query(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": _query(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "memory_clock_max_mhz": _query(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "throttle_reasons": _throttle_reasons(nvml, handle),
        "performance_state": _query(nvml, "nvmlDeviceGetPerformanceState", handle),
    }


def _throttle_reasons(nvml: Any, handle: Any) -> tuple[str, ...] | None:
    mask = _first_result(nvml, CLOCKS_REASONS, handle)
    return None if mask is None else tuple(sorted(_reason_names(mask)))


def _reason_names(mask: int) -> Iterator[str]:
    """Yields the names of the set bits. An unknown bit of a newer driver is named by its value, since it may be a
    slowdown."""
    for bit in (1 << place for place in range(mask.bit_length())):
        if mask & bit:
            yield THROTTLE_REASONS.get(bit, f"unknown_{bit:#x}")


def _load(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = _query(nvml, "nvmlDeviceGetMemoryInfo", handle)
    rates = _query(nvml, "nvmlDeviceGetUtilizationRates", handle)
    return {
        "memory_used_bytes": None if memory is None else memory.used,
        "memory_total_bytes": None if memory is None else memory.total,
        "utilisation_percent": None if rates is None else rates.gpu,
        "memory_utilisation_percent": None if rates is None else rates.memory,
    }


def _ecc(nvml: Any, handle: Any) -> Ecc | None:
    """Returns whether ECC is on, and the errors since the driver was loaded; None if not supported."""
    mode = _query(nvml, "nvmlDeviceGetEccMode", handle)
    if mode is None:
        return None

    def errors(kind: int) -> Any:
        return _query(nvml, "nvmlDeviceGetTotalEccErrors", handle, kind, nvml.NVML_VOLATILE_ECC)

    return Ecc(
        enabled=mode[0] == 1,
        corrected=errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        uncorrected=errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    )


def _processes(nvml: Any, handle: Any) -> dict[str, Any]:
    """Returns the number of other processes that compute on the card; ancestors and descendants do not count.

    In a container NVML's process ids can be missing, or be those of the host. `process_ids_visible` is False if this
    process uses CUDA and is not listed: then other processes are unknown. It is None if this process does not use CUDA.
    """
    running = _first_result(nvml, PROCESSES, handle)
    if running is None:
        return {"other_processes": None, "process_ids_visible": None}
    ids = {process.pid for process in running}
    visible = True if os.getpid() in ids else (False if _uses_cuda() else None)
    other_processes = None if visible is False else len(_others(ids))
    return {"other_processes": other_processes, "process_ids_visible": visible}


def _others(ids: Iterable[int]) -> tuple[int, ...]:
    """Returns the ids of processes that are neither this process, an ancestor nor a descendant."""
    return tuple(sorted(pid for pid in ids if not _is_family(pid)))


def users(uuid: str) -> tuple[int, ...] | None:
    """Returns the ids of other processes that compute on the card, as far as this process may see them.

    Returns None if the card does not report them. Raises GpuNotFound or MissingPackage.
    """
    with _session() as nvml:
        try:
            running = _first_result(nvml, PROCESSES, _handle(nvml, uuid))
        except nvml.NVMLError as error:
            raise GpuNotFound(f"the GPU does not answer: {_quoted(error)}") from error
    return None if running is None else _others({process.pid for process in running})


def _uses_cuda() -> bool:
    """Returns whether this process uses CUDA, so that NVML should list it. Does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _is_family(pid: int) -> bool:
    """Returns whether `pid` is this process, an ancestor or a descendant."""
    this_pid = os.getpid()
    return pid in (this_pid, *proc.ancestors(this_pid)) or this_pid in proc.ancestors(pid)


@dataclass(frozen=True)
class OpenCard:
    """A card while NVML is open. A value is None if the card does not report it. A lost card raises NVMLError."""

    nvml: Any
    handle: Any

    def energy_mj(self) -> int | None:
        """Returns the energy counter: mJ since the driver was loaded.

        Raises PermissionError if this user may not read it.
        """
        try:
            counted: int | None = _supported(self.nvml, "nvmlDeviceGetTotalEnergyConsumption", self.handle)
        except self.nvml.NVMLError as error:
            if _code(error) == NO_PERMISSION:
                raise PermissionError(_quoted(error)) from error
            raise
        return counted

    def power_w(self) -> float | None:
        power_mw = _query(self.nvml, "nvmlDeviceGetPowerUsage", self.handle)
        return None if power_mw is None else power_mw / 1000

    def sm_clock_mhz(self) -> float | None:
        clock_mhz: float | None = _query(self.nvml, "nvmlDeviceGetClockInfo", self.handle, self.nvml.NVML_CLOCK_SM)
        return clock_mhz

    def memory_clock_mhz(self) -> float | None:
        clock_mhz: float | None = _query(self.nvml, "nvmlDeviceGetClockInfo", self.handle, self.nvml.NVML_CLOCK_MEM)
        return clock_mhz

    def throttle_reasons(self) -> tuple[str, ...] | None:
        return _throttle_reasons(self.nvml, self.handle)


@contextmanager
def opened(uuid: str) -> Iterator[OpenCard]:
    """Yields a card with NVML open. Raises GpuNotFound if it does not answer, or stops to, and MissingPackage."""
    try:
        with _session() as nvml:
            try:
                yield OpenCard(nvml, _handle(nvml, uuid))
            except nvml.NVMLError as error:
                raise GpuNotFound(f"the GPU does not answer: {_quoted(error)}") from error
    except _NoGpu as error:
        raise GpuNotFound(NO_GPU) from error
