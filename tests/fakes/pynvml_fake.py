"""A stand-in for `pynvml` without a GPU: the real bindings' errors and constants over pretended cards.

As the real one, it refuses every question outside nvmlInit ... nvmlShutdown, hands out fresh handles, and
raises the real NVMLError subclasses. `Card.unsupported` names the functions that a card does not support,
`Card.faults` those that fail with another of NVML's codes; a card that is `gone` fails with that code at everything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pynvml as real

if TYPE_CHECKING:
    import pytest

FIRST = "GPU-11111111-aaaa-bbbb-cccc-000000000001"
SECOND = "GPU-22222222-aaaa-bbbb-cccc-000000000002"
THIRD = "GPU-22229999-aaaa-bbbb-cccc-000000000003"
SLICE = "MIG-33333333-aaaa-bbbb-cccc-000000000004"

BORROWED = ("NVMLError", "NVML_TEMPERATURE_GPU", "NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_VOLATILE_ECC")
MEMORY_ERRORS = ("NVML_MEMORY_ERROR_TYPE_CORRECTED", "NVML_MEMORY_ERROR_TYPE_UNCORRECTED")


@dataclass
class Card:
    """What NVML answers for one card; the defaults are those of an idle H100 SXM5."""

    uuid: str
    name: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = (9, 0)
    memory: tuple[int, int] = (85_520_809_984, 612_368_384)  # total, used
    mig: tuple[int, int] = (0, 0)
    slices: tuple[str, ...] = ()
    clocks: tuple[int, int] = (1980, 2619)  # SM, memory
    clocks_max: tuple[int, int] = (1980, 2619)
    temperature_c: int = 31
    power_mw: int = 71_250
    energy_mj: Callable[[], int] = lambda: 0  # what the counter shows
    power_limit_mw: int = 700_000
    utilisation: tuple[int, int] = (3, 1)  # GPU, memory
    performance_state: int = 0
    throttle_mask: int = 0x1
    ecc: tuple[int, int] = (1, 1)
    ecc_errors: tuple[int, int] = (0, 0)  # corrected, uncorrected
    processes: tuple[int, ...] = ()
    unsupported: tuple[str, ...] = ()
    faults: dict[str, int] = field(default_factory=dict)
    gone: int = 0

    def check(self, function: str) -> None:
        fault = real.NVML_ERROR_NOT_SUPPORTED if function in self.unsupported else self.faults.get(function, self.gone)
        if fault:
            raise real.NVMLError(fault)


@dataclass
class Driver:
    """The driver behind the fake: `init_error` is the NVML code that nvmlInit fails with, 0 for success."""

    cards: list[Card] = field(default_factory=list)
    version: str = "580.159.04"
    init_error: int = 0
    open_sessions: int = 0
    inits: int = 0

    def init(self) -> None:
        if self.init_error:
            raise real.NVMLError(self.init_error)
        self.open_sessions += 1
        self.inits += 1

    def shutdown(self) -> None:
        self.check_open()
        self.open_sessions -= 1

    def check_open(self) -> None:
        if not self.open_sessions:
            raise real.NVMLError(real.NVML_ERROR_UNINITIALIZED)


def _by_index(driver: Driver, index: int) -> Any:
    if index >= len(driver.cards):
        raise real.NVMLError(real.NVML_ERROR_INVALID_ARGUMENT)
    driver.cards[index].check("nvmlDeviceGetHandleByIndex")
    return SimpleNamespace(card=driver.cards[index])


def _by_uuid(driver: Driver, uuid: str) -> Any:
    for card in driver.cards:
        if uuid == card.uuid or uuid in card.slices:
            card.check("nvmlDeviceGetHandleByUUID")
            return SimpleNamespace(card=card)
    raise real.NVMLError(real.NVML_ERROR_NOT_FOUND)


def _temperature(card: Card, sensor: int) -> int:
    assert sensor == real.NVML_TEMPERATURE_GPU
    return card.temperature_c


def _ecc_errors(card: Card, kind: int, counter: int) -> int:
    assert counter == real.NVML_VOLATILE_ECC
    return card.ecc_errors[kind]


def _utilisation(card: Card) -> Any:
    return SimpleNamespace(gpu=card.utilisation[0], memory=card.utilisation[1])


def _processes(card: Card) -> list[Any]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=2**20) for pid in card.processes]


# what each function answers for a card; further arguments are those of the real function
QUESTIONS: dict[str, Callable[..., Any]] = {
    "nvmlDeviceGetUUID": lambda card: card.uuid,
    "nvmlDeviceGetName": lambda card: card.name,
    "nvmlDeviceGetCudaComputeCapability": lambda card: card.capability,
    "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(total=card.memory[0], used=card.memory[1]),
    "nvmlDeviceGetMigMode": lambda card: list(card.mig),
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda card: SimpleNamespace(card=card),
    "nvmlDeviceGetTemperature": _temperature,
    "nvmlDeviceGetTemperatureV": _temperature,
    "nvmlDeviceGetPowerUsage": lambda card: card.power_mw,
    "nvmlDeviceGetTotalEnergyConsumption": lambda card: card.energy_mj(),
    "nvmlDeviceGetEnforcedPowerLimit": lambda card: card.power_limit_mw,
    "nvmlDeviceGetClockInfo": lambda card, clock: card.clocks[clock == real.NVML_CLOCK_MEM],
    "nvmlDeviceGetMaxClockInfo": lambda card, clock: card.clocks_max[clock == real.NVML_CLOCK_MEM],
    "nvmlDeviceGetUtilizationRates": _utilisation,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda card: card.throttle_mask,
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: card.throttle_mask,
    "nvmlDeviceGetEccMode": lambda card: list(card.ecc),
    "nvmlDeviceGetTotalEccErrors": _ecc_errors,
    "nvmlDeviceGetPerformanceState": lambda card: card.performance_state,
    "nvmlDeviceGetComputeRunningProcesses_v2": _processes,
    "nvmlDeviceGetComputeRunningProcesses_v3": _processes,
}


def _question(driver: Driver, name: str) -> Callable[..., Any]:
    def ask(handle: Any, *arguments: Any) -> Any:
        driver.check_open()
        handle.card.check(name)
        return QUESTIONS[name](handle.card, *arguments)

    return ask


def _opened(driver: Driver, function: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*arguments: Any) -> Any:
        driver.check_open()
        return function(*arguments)

    return ask


def module(driver: Driver, without: tuple[str, ...] = ()) -> ModuleType:
    """The fake module over a driver; `without` are functions that these bindings do not have at all."""
    fake: Any = ModuleType("pynvml")
    errors = tuple(name for name in dir(real) if name.startswith("NVMLError_"))
    for name in (*BORROWED, *MEMORY_ERRORS, *errors):
        setattr(fake, name, getattr(real, name))
    for name in QUESTIONS:
        setattr(fake, name, _question(driver, name))
    fake.nvmlInit = driver.init
    fake.nvmlShutdown = driver.shutdown
    fake.nvmlSystemGetDriverVersion = _opened(driver, lambda: driver.version)
    fake.nvmlDeviceGetCount = _opened(driver, lambda: len(driver.cards))
    fake.nvmlDeviceGetHandleByIndex = _opened(driver, lambda index: _by_index(driver, index))
    fake.nvmlDeviceGetHandleByUUID = _opened(driver, lambda uuid: _by_uuid(driver, uuid))
    for name in without:
        delattr(fake, name)
    module_: ModuleType = fake
    return module_


NEWER = (
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle",
    "nvmlDeviceGetTemperatureV",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "NVMLError_GpuNotFound",
)
TEXTS = ("nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlSystemGetDriverVersion")


def old_module(driver: Driver, without: tuple[str, ...] = NEWER) -> ModuleType:
    """The bindings from before 2021, as nvidia-ml-py3 7.352 and nvidia-ml-py 11.450 were seen to behave: texts are
    bytes, a UUID must be bytes, and the functions and errors of later drivers are not there."""
    fake: Any = module(driver, without)
    for name in TEXTS:
        setattr(fake, name, _encoded(getattr(fake, name)))
    fake.nvmlDeviceGetHandleByUUID = _opened(driver, lambda uuid: _by_uuid(driver, _c_char_p(uuid)))
    module_: ModuleType = fake
    return module_


def _encoded(function: Callable[..., str]) -> Callable[..., bytes]:
    return lambda *arguments: function(*arguments).encode()


def _c_char_p(text: Any) -> str:
    if not isinstance(text, bytes):
        raise TypeError(f"bytes or integer address expected instead of {type(text).__name__} instance")
    return text.decode()


def use(monkeypatch: pytest.MonkeyPatch, driver: Driver, without: tuple[str, ...] = ()) -> Driver:
    """Installs the driver as `pynvml`, without some of its functions, and returns it."""
    monkeypatch.setitem(sys.modules, "pynvml", module(driver, without))
    return driver
