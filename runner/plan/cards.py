"""Selection of the GPU, or the CPU, that a request's `gpu=` and `device=` name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from runner.cell import catalogue, vocabulary
from runner.cell.catalogue import Gpu
from runner.cell.vocabulary import AUTO, CPU, CUDA
from runner.errors import BadPair, GpuAmbiguous, GpuNotFound, NotAvailable
from runner.job import Device
from runner.machine import host, visible

if TYPE_CHECKING:
    from runner.machine.installedgpu import InstalledGpu

DEFAULT_MODEL = {CPU: "qwen2.5-0.5b", CUDA: "qwen2.5-7b"}
Installed: TypeAlias = "Sequence[InstalledGpu]"


def gpu_key(card: InstalledGpu) -> str:
    """Returns the catalogue name of an installed card, or a slug of NVML's name if the catalogue has no entry."""
    entry = catalogue.gpu_for(card.name)
    return entry.key if entry else re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-")


def choose_card(gpu: str, device: str, installed: Installed) -> InstalledGpu | None:
    """Returns the card to measure on, or None for the CPU.

    Raises GpuNotFound, GpuAmbiguous, UnknownName, BadPair or NotAvailable.
    """
    keys = {card.index: gpu_key(card) for card in installed if card.name}
    if gpu != AUTO:
        vocabulary.checked_name("gpu", gpu, dict.fromkeys((AUTO, *catalogue.gpus(), *keys.values())))
    if gpu == CPU or (gpu == AUTO and device == AUTO and not installed):
        _check_no_card(device)
        return None
    if visible.is_slice(device):
        raise GpuNotFound(f"device={device} names a MIG instance: {visible.NO_FLOOR}; name a whole card")
    fitting = [card for card in installed if gpu in (AUTO, keys.get(card.index))]
    if not fitting:
        raise GpuNotFound(_not_found(gpu, device, installed, keys))
    return _only(_measurable(_by_device(device, fitting, installed, keys)))


def default_model(installed: Installed) -> str | None:
    """Returns the model that `auto` selects for these GPUs; None if none of them can be measured."""
    if not installed:
        return DEFAULT_MODEL[CPU]
    return DEFAULT_MODEL[CUDA] if any(card.obstacle is None for card in installed) else None


def _check_no_card(device: str) -> None:
    if device != AUTO:
        raise BadPair(f"device={device} does not go with gpu=cpu: leave device=auto")


def _by_device(device: str, fitting: Installed, installed: Installed, keys: dict[int, str]) -> Installed:
    named = [card for card in installed if device == AUTO or _is_named(card, device)]
    if not named:
        raise GpuNotFound(f"no GPU matches device={device}: found {_listing(installed)}; give an index or a UUID")
    matching = [card for card in named if card in fitting or not card.name]
    if not matching:
        card = named[0]
        raise GpuNotFound(
            f"gpu {card.index} is {card.name} ({keys[card.index]}), not {keys[fitting[0].index]}: "
            f"choose device={fitting[0].index} or gpu={keys[card.index]}"
        )
    return matching


def _is_named(card: InstalledGpu, device: str) -> bool:
    """Returns whether `device` is the card's index or a prefix of its UUID. A failed card may have no UUID."""
    return device == str(card.index) if device.isdecimal() else visible.is_uuid_prefix(device, card.uuid)


def _only(cards: Installed) -> InstalledGpu:
    if len(cards) > 1:
        listed = ", ".join(f"{card.index}: {card.name} {card.uuid}" for card in cards)
        first = cards[0]
        raise GpuAmbiguous(
            f"{len(cards)} GPUs match the request ({listed}): choose with device={first.index} or device={first.uuid}"
        )
    return cards[0]


def _measurable(cards: Installed) -> Installed:
    """Returns the cards that can be measured. Raises NotAvailable or GpuNotFound if there is none."""
    measurable = [card for card in cards if card.obstacle is None]
    if measurable:
        return measurable
    if sliced := [card for card in cards if card.fault is None]:
        raise NotAvailable(f"{sliced[0].obstacle}: choose another card with device=, or switch MIG off")
    raise GpuNotFound(f"{'; '.join(card.obstacle or '' for card in cards)}: choose another card with device= or gpu=")


def _not_found(gpu: str, device: str, installed: Installed, keys: dict[int, str]) -> str:
    advice = f"choose {' or '.join(f'gpu={choice}' for choice in _choices(installed, keys))}"
    if gpu == AUTO:
        return f"device={device}: found {_listing(installed)}; choose device=auto or gpu=cpu"
    entry = catalogue.gpus().get(gpu)
    name = entry.name.removeprefix("NVIDIA ") if entry else gpu
    return f"this machine has no {name}: found {_listing(installed)}; {advice}"


def _choices(installed: Installed, keys: dict[int, str]) -> list[str]:
    """Returns the values of `gpu=` that would be accepted."""
    if not installed:
        return [AUTO, CPU]
    usable = [keys[card.index] for card in installed if card.obstacle is None]
    return list(dict.fromkeys((AUTO, *usable))) if usable else [CPU]


def _listing(installed: Installed) -> str:
    working = ", ".join(f"{card.name} (gpu {card.index})" for card in installed if card.fault is None)
    faults = [card.obstacle or "" for card in installed if card.fault is not None]
    return "; ".join([working or "no GPU", *faults]) + visible.hint()


def device_of(card: InstalledGpu | None) -> Device:
    """Returns the device of a card, or of the CPU."""
    if card is None:
        return _describe(CPU, None, catalogue.gpus()[CPU], CPU)
    return _describe(CUDA, card, catalogue.gpu_for(card.name), gpu_key(card))


def _describe(kind: str, card: InstalledGpu | None, entry: Gpu | None, key: str) -> Device:
    return Device(
        kind=kind,
        uuid=card.uuid if card else None,
        gpu=key,
        name=card.name if card else host.cpu_name(),
        bandwidth_gbs=entry.bandwidth_gbs.value if entry else None,
        catalogued=entry is not None,
        driver=card.driver if card else None,
    )
