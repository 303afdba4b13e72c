"""What NVML knows: the GPUs installed, and a snapshot of one before and after a session.

NVML is NVIDIA's management library, the one behind nvidia-smi. It is opened for each call and shut down after
it, so that nothing of it stays alive inside a timed window.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from runner.errors import GpuNotFound, MissingPackage
from runner.machine import host, visible
from runner.processes import proc
from runner.record.sections.surroundings import Ecc, Snapshot

DEV = Path("/dev")
LIBRARY = "libnvidia-ml.so.1"
NO_GPU = "no NVIDIA GPU"
# NVML's error codes (nvml.h). Older bindings have no class of their own for the newer ones, but keep the code.
NOT_SUPPORTED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, NO_CARD = 3, 9, 12, 13, 15, 28
ABSENT = (DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, NO_CARD)
UNSUPPORTED = (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
# Functions that drivers know by several names, the usual one first. The bindings' unversioned
# nvmlDeviceGetComputeRunningProcesses fails with an error of another family where the driver has only _v2.
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
"""What a card answers, None where it does not."""


@dataclass(frozen=True)
class InstalledGpu:
    """One GPU of this machine. `index` is NVML's, in the order of the PCI bus.

    A card with `mig` on is cut into slices and cannot be measured as its model of card. `memory_bytes` is the
    host's where host and GPU share one memory. `compute_capability` is None where neither bindings nor library tell
    it. A card with a `fault` does not answer: the rest is what it had said before, "" and 0 for what it had not.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int
    compute_capability: str | None  # "9.0"
    driver: str
    mig: bool
    fault: str | None = None

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be measured, in words that name the card; None where it can."""
        called = f"gpu {self.index} ({self.name})" if self.name else f"gpu {self.index}"
        if self.fault is not None:
            return f"{called} does not answer: {self.fault}"
        return f"{called} is in MIG mode, and {visible.NO_FLOOR}" if self.mig else None


Gpus = tuple[InstalledGpu, ...]


class _NoGpu(Exception):
    """This machine has no NVIDIA GPU, or none that its driver can see: an answer, not a failure."""


def _driver_traces() -> bool:
    """Is there any sign of an NVIDIA GPU that does not need NVML?"""
    return _device_files() or shutil.which("nvidia-smi") is not None


def _device_files() -> bool:
    return any(DEV.glob("nvidia[0-9]*"))


def _bindings() -> Any:
    """The module `pynvml`. Without it, raises MissingPackage where there is a driver, _NoGpu elsewhere."""
    try:
        bindings = importlib.import_module("pynvml")
        _ = bindings.nvmlInit, bindings.NVMLError  # another package may have that name
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
    """NVML opened, and shut down at the end. Raises _NoGpu, MissingPackage or GpuNotFound."""
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
    """Returns the error that a failed nvmlInit stands for. A machine with a GPU's device files must not pass for one
    without a GPU: it may be a container that was given no library, or every card may have fallen off the bus."""
    if _code(error) in ABSENT and not _device_files():
        return _NoGpu()
    if _code(error) == LIBRARY_NOT_FOUND:
        return GpuNotFound(
            f"this machine has an NVIDIA GPU, but not the driver's library {LIBRARY}: in a container, "
            "add `utility` to NVIDIA_DRIVER_CAPABILITIES"
        )
    return GpuNotFound(
        f"the NVIDIA driver does not answer: {_said(error)}; nvidia-smi should say the same "
        "(after a driver update a reboot, or a restart of the container, is needed)"
    )


def _code(error: Exception) -> int | None:
    """NVML's code of an NVMLError."""
    return getattr(error, "value", None)


def _said(error: Exception) -> str:
    """NVML's own words. Bindings from before 2021 give the text of a newer code as Python writes bytes."""
    bare = str(error).removeprefix("b'").removesuffix("'") if str(error).startswith("b'") else str(error)
    return f"NVML said {bare!r}"


def _text(answer: str | bytes) -> str:
    """A text of NVML's, which bindings from before 2021 leave as bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def list_gpus() -> Gpus:
    """The GPUs that may be used, in CUDA's order: those CUDA_VISIBLE_DEVICES names, or all; () without any, and where
    that variable hides all of them.

    A card that does not answer is among them, with its fault, as long as another one does answer.

    Raises MissingPackage where there is a driver and no `pynvml`, GpuNotFound where the driver fails to answer, where
    none of the cards does, and where CUDA_VISIBLE_DEVICES names none of them.
    """
    if visible.hides_all():
        return ()
    found = visible.chosen(_all_gpus())
    if found and all(gpu.fault is not None for gpu in found):
        raise GpuNotFound(
            f"{'; '.join(gpu.obstacle or '' for gpu in found)}; nvidia-smi should say the same (a reset of the card or "
            "a reboot may help; gpu=cpu measures on the CPU)"
        )
    return found


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
        raise GpuNotFound(f"the NVIDIA driver does not answer: {_said(error)}") from error
    if count == 0 and _device_files():
        raise GpuNotFound(
            f"this machine has the device files of a GPU ({DEV}/nvidia*), but NVML lists none: it has fallen off the "
            "bus, or may not be used from here (gpu=cpu measures on the CPU)"
        )
    return tuple(_describe(nvml, index, driver) for index in range(count))


def _describe(nvml: Any, index: int, driver: str) -> InstalledGpu:
    """The card; one that stops answering keeps its place and what it had said."""
    known: dict[str, Any] = {"uuid": "", "name": "", "memory_bytes": 0, "compute_capability": None, "mig": False}
    fault = None
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        known["uuid"] = _text(nvml.nvmlDeviceGetUUID(handle))
        known["name"] = _text(nvml.nvmlDeviceGetName(handle))
        known["compute_capability"] = _compute_capability(nvml, handle)
        memory = _supported(nvml, "nvmlDeviceGetMemoryInfo", handle)
        # unified memory (Jetson, GB10): NVML does not answer, the GPU uses the host's
        known["memory_bytes"] = memory.total if memory is not None else host.memory_bytes()
        known["mig"] = _mig(nvml, handle)
    except nvml.NVMLError as error:
        fault = _said(error)
    return InstalledGpu(index=index, driver=driver, fault=fault, **known)


def _compute_capability(nvml: Any, handle: Any) -> str | None:
    function = "nvmlDeviceGetCudaComputeCapability"
    has = hasattr(nvml, function)
    found = nvml.nvmlDeviceGetCudaComputeCapability(handle) if has else _from_library(function, handle)
    return None if found is None else f"{found[0]}.{found[1]}"


def _mig(nvml: Any, handle: Any) -> bool:
    """Is the card cut into slices now? (A mode that waits for a reset is the second number.)"""
    function = "nvmlDeviceGetMigMode"
    has = hasattr(nvml, function)
    found = _supported(nvml, function, handle) if has else _from_library(function, handle)
    return found is not None and found[0] == 1


def _from_library(function: str, handle: Any) -> tuple[int, int] | None:
    """The two numbers that a function of NVML's tells of a card, for bindings older than the function; None where the
    library does not know it either."""
    first, second = ctypes.c_int(), ctypes.c_int()
    try:
        call = getattr(ctypes.CDLL(LIBRARY), function)
        failed = call(handle, ctypes.byref(first), ctypes.byref(second))
    except (OSError, AttributeError, ctypes.ArgumentError):
        return None
    return None if failed else (first.value, second.value)


def _supported(nvml: Any, function: str, *arguments: Any) -> Any:
    """The answer of an NVML function, or None where driver, bindings or card do not have it. Raises NVMLError."""
    call = getattr(nvml, function, None)
    try:
        return None if call is None else call(*arguments)
    except nvml.NVMLError as error:
        if _code(error) in UNSUPPORTED:
            return None
        raise


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """The answer of an NVML function, or None where it has none: one field less. Raises NVMLError for a lost card."""
    try:
        return _supported(nvml, function, *arguments)
    except nvml.NVMLError as error:
        if _code(error) == GPU_IS_LOST:
            raise
        return None


def _ask_first(nvml: Any, functions: tuple[str, ...], *arguments: Any) -> Any:
    """The answer of the first function that has one: one question under several names."""
    answers = (_ask(nvml, function, *arguments) for function in functions)
    return next((answer for answer in answers if answer is not None), None)


def snapshot(uuid: str | None, taken_ms: int | None = None) -> Snapshot:
    """Returns the state of one card now, in °C, W, MHz, bytes and percent; None where not supported.

    `uuid` None is a session without a GPU. `taken_ms` is the time in ms since the epoch, by the host's clock where it
    is None. Never raises: a failed snapshot must not cost a session. Names neither host nor card nor processes.
    """
    answers: dict[str, Any] = dict.fromkeys(SNAPSHOT_FIELDS)
    why = None
    try:
        answers |= _state(uuid)
    except _NoGpu:
        why = NO_GPU
    except MissingPackage:  # its message names a folder of this machine
        why = "the Python package nvidia-ml-py is missing"
    except GpuNotFound as error:
        why = str(error)
    except Exception as error:  # whatever bindings of another age raise
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
            raise GpuNotFound(f"the GPU does not answer: {_said(error)}") from error


def _handle(nvml: Any, uuid: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid)
    except TypeError:  # bindings from before 2021 take bytes
        return nvml.nvmlDeviceGetHandleByUUID(uuid.encode())


def _answers(nvml: Any, handle: Any) -> dict[str, Any]:
    """The fields of a snapshot. Raises NVMLError where the card is gone."""
    found = {
        **_thermals(nvml, handle),
        **_clocks(nvml, handle),
        **_load(nvml, handle),
        "ecc": _ecc(nvml, handle),
        **_processes(nvml, handle),
    }
    if all(value is None for value in found.values()):
        _supported(nvml, "nvmlDeviceGetUUID", handle)  # a card that is still there knows its name
    return found


def _thermals(nvml: Any, handle: Any) -> dict[str, Any]:
    power_mw = _ask(nvml, "nvmlDeviceGetPowerUsage", handle)
    limit_mw = _ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)
    return {
        "temperature_c": _ask_first(nvml, TEMPERATURE, handle, nvml.NVML_TEMPERATURE_GPU),
        "power_w": None if power_mw is None else power_mw / 1000,
        "power_limit_w": None if limit_mw is None else limit_mw / 1000,
    }


def _clocks(nvml: Any, handle: Any) -> dict[str, Any]:
    return {
        "sm_clock_mhz": _ask(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        "sm_clock_max_mhz": _ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": _ask(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "memory_clock_max_mhz": _ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM),
        "throttle_reasons": _throttle_reasons(nvml, handle),
        "performance_state": _ask(nvml, "nvmlDeviceGetPerformanceState", handle),
    }


def _throttle_reasons(nvml: Any, handle: Any) -> tuple[str, ...] | None:
    mask = _ask_first(nvml, CLOCKS_REASONS, handle)
    return None if mask is None else tuple(sorted(_reason_names(mask)))


def _reason_names(mask: int) -> Iterator[str]:
    """A bit that a newer driver has added is named by its number: it may well be a slowdown."""
    for bit in (1 << place for place in range(mask.bit_length())):
        if mask & bit:
            yield THROTTLE_REASONS.get(bit, f"unknown_{bit:#x}")


def _load(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    rates = _ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    return {
        "memory_used_bytes": None if memory is None else memory.used,
        "memory_total_bytes": None if memory is None else memory.total,
        "utilisation_percent": None if rates is None else rates.gpu,
        "memory_utilisation_percent": None if rates is None else rates.memory,
    }


def _ecc(nvml: Any, handle: Any) -> Ecc | None:
    """Returns whether ECC is on, and the errors counted since the driver was loaded; None where it is not
    supported."""
    mode = _ask(nvml, "nvmlDeviceGetEccMode", handle)
    if mode is None:
        return None

    def errors(kind: int) -> Any:
        return _ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, kind, nvml.NVML_VOLATILE_ECC)

    return Ecc(
        enabled=mode[0] == 1,
        corrected=errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        uncorrected=errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    )


def _processes(nvml: Any, handle: Any) -> dict[str, Any]:
    """How many processes compute on the card that are not of our own family.

    In a container NVML's process ids can be absent, or those of the host. `process_ids_visible` is False when
    this process computes on the card and is not among them (nothing is known of others then), None when it
    does not.
    """
    running = _ask_first(nvml, PROCESSES, handle)
    if running is None:
        return {"other_processes": None, "process_ids_visible": None}
    ids = {each.pid for each in running}
    visible = True if os.getpid() in ids else (False if _uses_cuda() else None)
    others = None if visible is False else sum(not _is_family(pid) for pid in ids)
    return {"other_processes": others, "process_ids_visible": visible}


def _uses_cuda() -> bool:
    """Does this process compute on the GPU, so that NVML should list it? Never imports torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _is_family(pid: int) -> bool:
    """Is it this process, one that started it, or one that it started?"""
    own = os.getpid()
    return pid in (own, *proc.ancestors(own)) or own in proc.ancestors(pid)
