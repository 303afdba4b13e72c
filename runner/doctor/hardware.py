"""The GPUs: whether the requested one is here, which stacks its driver runs, and who else uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runner.cell.vocabulary import AUTO, CPU, checked_name
from runner.doctor import gpulist
from runner.doctor.finding import PROBLEM, Finding, failed, note, ok, problem
from runner.doctor.gpulist import NamedGpu
from runner.doctor.interpreter import RUNS_ALL
from runner.errors import DecodeFloorError, GpuNotFound, MissingPackage, NoContainer
from runner.files import shipped
from runner.machine import nvidiasmi, visible
from runner.machine.installedgpu import InstalledGpu

GPU, DRIVER, USERS = "gpu", "driver", "processes"
MINIMUM_DRIVER = re.compile(r'^MIN_DRIVER="(\d+)"$', re.MULTILINE)
STACKS = ("modern", "paper")


@dataclass(frozen=True)
class Look:
    """The chosen card, None for the CPU or without one, and the findings. `installed` is None if it is unknown."""

    installed: tuple[InstalledGpu, ...] | None
    card: InstalledGpu | None
    findings: tuple[Finding, ...]
    entry: NamedGpu | None = None
    """the catalogue's entry of the chosen card"""

    @property
    def is_found(self) -> bool:
        """Returns whether the requested GPU is here, or none is needed."""
        return self.findings[0].state != PROBLEM


def look(wanted: str) -> Look:
    """Returns what is found about the requested GPU: a name of the catalogue, `cpu` or `auto`."""
    try:
        names = gpulist.entries()
        installed = () if wanted == CPU else installed_gpus()
        keys = {card.index: _key(card, names) for card in installed}
        checked_name(GPU, wanted, dict.fromkeys((AUTO, *names, *keys.values())))
    except DecodeFloorError as error:
        return Look(None, None, (failed(GPU, error), *_without_card("unknown without the GPU")))
    fitting = [card for card in installed if wanted in (AUTO, keys[card.index])]
    usable = [card for card in fitting if card.obstacle is None]
    if not usable:
        found = _no_card(wanted, fitting, installed, names)
        reason = "unknown without the GPU" if found.state == PROBLEM else "not needed on the CPU"
        return Look(installed, None, (found, *_without_card(reason)))
    chosen, entry = usable[0], names.get(keys[usable[0].index])
    return Look(installed, chosen, (_chosen(usable, entry), _driver(chosen, entry), _users(chosen)), entry)


def installed_gpus() -> tuple[InstalledGpu, ...]:
    """Returns the visible GPUs, from NVML if its bindings are installed, or else nvidia-smi. Raises GpuNotFound."""
    if RUNS_ALL:
        from runner.machine import nvml

        try:
            return nvml.list_gpus()
        except MissingPackage:
            pass
    return nvidiasmi.list_gpus()


def _key(card: InstalledGpu, names: Mapping[str, NamedGpu]) -> str:
    """Returns the catalogue's name of a card, or the driver's own if the catalogue has none."""
    return next((gpu.key for gpu in names.values() if gpu.nvml and re.fullmatch(gpu.nvml, card.name)), card.name)


def _no_card(
    wanted: str, fitting: list[InstalledGpu], installed: tuple[InstalledGpu, ...], names: Mapping[str, NamedGpu]
) -> Finding:
    if wanted == CPU:
        return ok(GPU, "none is needed: gpu=cpu has a step time and achieved GB/s, but no r_floor")
    if fitting:
        unusable = "; ".join(card.obstacle or "" for card in fitting)
        return problem(GPU, GpuNotFound, unusable, "choose another GPU, or gpu=cpu")
    if wanted == AUTO:
        return note(
            GPU,
            f"no NVIDIA GPU{visible.hint()}: a cell is measured on the CPU, with a step time and achieved GB/s, but "
            "without r_floor",
        )
    name = names[wanted].name if wanted in names else wanted
    listing = ", ".join(f"{card.name} (gpu {card.index})" for card in installed) or "no NVIDIA GPU"
    return problem(
        GPU,
        GpuNotFound,
        f"no {name} here: found {listing}{visible.hint()}",
        "use a machine that has one, or leave out --gpu to examine what this one has",
    )


def _without_card(reason: str) -> tuple[Finding, ...]:
    return tuple(note(name, reason) for name in (DRIVER, USERS))


def _chosen(usable: list[InstalledGpu], entry: NamedGpu | None) -> Finding:
    card = usable[0]
    size = f", {card.memory_bytes / 1e9:.1f} GB" if card.memory_bytes else ""
    if len(usable) > 1:
        listed = ", ".join(f"{each.index}: {each.name}" for each in usable)
        return note(GPU, f"{len(usable)} GPUs match ({listed})", f"choose one with device={card.index}")
    if entry is None:
        return note(
            GPU,
            f"{card.name}{size}: not in the catalogue, so a cell has no r_floor",
            "add it to experiments/gpus.yaml (`python -m runner cell` prints the entry)",
        )
    return ok(GPU, f"{card.name} ({entry.key}){size}")


def minimum_drivers() -> Iterator[tuple[str, int]]:
    """Yields each stack and the oldest driver that runs it. An installation without a checkout has none."""
    for stack in STACKS:
        file = shipped.PACKAGES / "images" / "stack" / f"{stack}.env"
        found = MINIMUM_DRIVER.search(file.read_text(encoding="utf-8")) if file.is_file() else None
        if found is not None:
            yield stack, int(found.group(1))


def _driver(card: InstalledGpu, entry: NamedGpu | None) -> Finding:
    needed = dict(minimum_drivers())
    major = card.driver.split(".")[0]
    if not needed or not major.isdecimal():
        return note(DRIVER, f"{card.driver}: which stacks it runs is written in a checkout, and this is none")
    runs = [stack for stack, oldest in needed.items() if int(major) >= oldest]
    rules = ", ".join(f"{stack} needs {oldest}" for stack, oldest in needed.items())
    if STACKS[0] in runs:
        return ok(DRIVER, f"{card.driver} runs the stack {' and '.join(runs)} ({rules})")
    if not runs:
        return problem(DRIVER, NoContainer, f"{card.driver} is too old for every stack ({rules})", "update the driver")
    return problem(
        DRIVER,
        NoContainer,
        f"{card.driver} is too old for requirements/{STACKS[0]}.txt and runs the stack {runs[0]} alone ({rules})",
        f"update the driver{_older_image(entry, runs[0])}",
    )


def _older_image(entry: NamedGpu | None, stack: str) -> str:
    """Returns the advice to measure in a container of an older stack, "" for a GPU without images."""
    if entry is None or entry.image is None:
        return ""
    cell = f"`python -m runner cell --stack {stack}`"
    return f", or measure in a container: make image-{entry.image} STACK={stack}, then {cell}"


def _users(card: InstalledGpu) -> Finding:
    try:
        users = _user_names(card)
    except DecodeFloorError as error:
        return failed(USERS, error)
    if users is None:
        return note(USERS, "the driver does not report the processes on the card")
    if not users:
        return ok(USERS, "no other process computes on the card")
    return note(
        USERS,
        f"{len(users)} other {'process computes' if len(users) == 1 else 'processes compute'} on the card "
        f"({', '.join(users)}): sessions would be flagged shared-card",
        "stop these programs, or wait until they end",
    )


def _user_names(card: InstalledGpu) -> tuple[str, ...] | None:
    if RUNS_ALL:
        from runner.machine import nvml
        from runner.processes import proc

        try:
            users = nvml.users(card.uuid)
        except MissingPackage:
            pass
        else:
            return None if users is None else tuple(f"{pid} ({proc.program(pid)})" for pid in users)
    return nvidiasmi.users(card.uuid)
