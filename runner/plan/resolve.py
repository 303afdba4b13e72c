"""From a request to a plan: every `auto` replaced, every pair checked, before any weight is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from runner import registry
from runner.cell import catalogue, protocol, vocabulary
from runner.cell.catalogue import Gpu, Model
from runner.cell.cell import Cell
from runner.cell.floors import GATE_STEPS, sequence_tokens
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.vocabulary import AUTO, CPU, CUDA, SYNTHETIC_ID
from runner.checkpoints import checkpoint, readable
from runner.checkpoints.checkpoint import Checkpoint
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.errors import BadCheckpoint, BadPair, BadValue, GpuAmbiguous, GpuNotFound, NotAvailable
from runner.job import Device
from runner.machine import host, visible
from runner.plan.request import FROM_ENVIRONMENT, HUB, SYNTHETIC, Request, option_map, weights_folder, whole_number

if TYPE_CHECKING:
    from runner.machine.nvml import InstalledGpu

DEFAULT_STUDY = "adhoc"
DEFAULT_MODEL = {CPU: "qwen2.5-0.5b", CUDA: "qwen2.5-7b"}
DEFAULT_CTX = {CPU: "256", CUDA: "2048"}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # as repositories there are called
Installed: TypeAlias = "Sequence[InstalledGpu]"


@dataclass(frozen=True)
class Plan:
    """A resolved request. `scheme` is how the weights are packed, None where they are not; `checkpoint` is None for
    synthetic weights; `memory_bytes` is the card's total memory, None for the CPU; `flags` are what the record is
    marked with whatever the measurement says."""

    cell: Cell
    protocol: Protocol
    device: Device
    memory_bytes: int | None
    model: Model
    scheme: Scheme | None
    checkpoint: Checkpoint | None
    seed: int
    study: str
    flags: tuple[str, ...]


def resolve(request: Request, installed: Installed) -> Plan:
    """The plan for a request on a machine with these GPUs. The GPU is checked before anything else.

    Raises UnknownName, BadValue, NotAvailable, BadPair, GpuNotFound, GpuAmbiguous, BadCheckpoint.
    """
    card = choose_card(request.gpu, request.device, installed)
    device = _device(card)
    _check_place(request)
    model = _model(request.model, device.kind)
    chosen = _protocol(request)
    ctx = _ctx(request.ctx, device.kind, model, chosen)
    quant = _quant(request.quant)
    kernel = _kernel(quant, request.kernel, device.kind)
    _check_home(kernel, request.stack, card)
    runtime = _runtime(request.runtime, quant, kernel, device.kind)
    weights = _checkpoint(request, model, quant)
    options = _options(request.options, runtime, quant, synthetic=weights is None)
    scheme = _scheme(quant, options) if weights is None else weights.scheme
    if scheme is not None and (reason := kernel.refuses(scheme, quant)):
        raise BadPair(f"kernel={kernel.name} cannot multiply these weights: {reason}")
    dtype = _dtype(request.dtype, kernel)
    cell = Cell(
        gpu=device.gpu,
        model=model.key,
        ctx=ctx,
        quant=quant,
        kernel=kernel.name,
        runtime=runtime.name,
        attention=_of_runtime("attention", request.attention, runtime, vocabulary.ATTENTIONS),
        cache=_of_runtime("cache", request.cache, runtime, vocabulary.CACHES),
        dtype=dtype,
        weights_id=SYNTHETIC_ID if weights is None else weights.weights_id,
        options=options,
    )
    return Plan(
        cell=cell,
        protocol=chosen,
        device=device,
        memory_bytes=card.memory_bytes if card else None,
        model=model,
        scheme=scheme,
        checkpoint=weights,
        seed=0 if request.seed == AUTO else whole_number("seed", request.seed, 0),
        study=DEFAULT_STUDY if request.study == AUTO else request.study,
        flags=() if weights is None else weights.flags(dtype),
    )


def gpu_key(card: InstalledGpu) -> str:
    """The catalogue's name of an installed card, or a slug of NVML's name where the catalogue has none."""
    entry = catalogue.gpu_for(card.name)
    return entry.key if entry else re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-")


def choose_card(gpu: str, device: str, installed: Installed) -> InstalledGpu | None:
    """The card to measure on, None for the CPU. Raises GpuNotFound, GpuAmbiguous, UnknownName, BadPair."""
    keys = {card.index: gpu_key(card) for card in installed if card.name}
    if gpu != AUTO:
        vocabulary.known("gpu", gpu, dict.fromkeys((*catalogue.gpus(), *keys.values())))
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
    """The model that `auto` measures on a machine with these GPUs; None where none of them can be measured."""
    if not installed:
        return DEFAULT_MODEL[CPU]
    return DEFAULT_MODEL[CUDA] if any(card.obstacle is None for card in installed) else None


def _check_no_card(device: str) -> None:
    if device != AUTO:
        raise BadPair(f"device={device} does not go with gpu=cpu: leave device=auto")


def _by_device(device: str, fitting: Installed, installed: Installed, keys: dict[int, str]) -> Installed:
    named = [card for card in installed if device == AUTO or _is_named(card, device)]
    if not named:
        raise GpuNotFound(f"no GPU answers device={device}: found {_listing(installed)}; give an index or a UUID")
    both = [card for card in named if card in fitting or not card.name]
    if not both:
        card = named[0]
        raise GpuNotFound(f"gpu {card.index} is {card.name} ({keys[card.index]}), not {keys[fitting[0].index]}")
    return both


def _is_named(card: InstalledGpu, device: str) -> bool:
    """Is this its index, or the beginning of its UUID? Nothing begins that of a card that did not tell its own."""
    return device == str(card.index) if device.isdecimal() else visible.begins(device, card.uuid)


def _only(cards: Installed) -> InstalledGpu:
    if len(cards) > 1:
        listed = ", ".join(f"{card.index}: {card.name} {card.uuid}" for card in cards)
        first = cards[0]
        raise GpuAmbiguous(
            f"{len(cards)} GPUs answer the request ({listed}): choose with device={first.index} or device={first.uuid}"
        )
    return cards[0]


def _measurable(cards: Installed) -> Installed:
    """Returns the cards that can be measured. Raises NotAvailable or GpuNotFound where there is none."""
    found = [card for card in cards if card.obstacle is None]
    if found:
        return found
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
    """The values of gpu= that lead to no further refusal."""
    if not installed:
        return [AUTO, CPU]
    whole = [keys[card.index] for card in installed if card.obstacle is None]
    return list(dict.fromkeys((AUTO, *whole))) if whole else [CPU]


def _listing(installed: Installed) -> str:
    whole = ", ".join(f"{card.name} (gpu {card.index})" for card in installed if card.fault is None)
    faults = [card.obstacle or "" for card in installed if card.fault is not None]
    return "; ".join([whole or "no GPU", *faults]) + visible.hint()


def _device(card: InstalledGpu | None) -> Device:
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


def _check_place(request: Request) -> None:
    if request.where != AUTO:
        vocabulary.known("where", request.where, vocabulary.PLACES)
    if request.stack != AUTO:
        vocabulary.known("stack", request.stack, vocabulary.STACKS)


def _model(name: str, kind: str) -> Model:
    models = catalogue.models()
    if name == AUTO and DEFAULT_MODEL[kind] not in models:
        file = catalogue.folder() / "models.yaml"
        raise BadValue(f"model=auto is {DEFAULT_MODEL[kind]} here, which {file} does not have: name one of its models")
    return models[vocabulary.known("model", DEFAULT_MODEL[kind] if name == AUTO else name, models)]


def _protocol(request: Request) -> Protocol:
    name = "paper" if request.protocol == AUTO else request.protocol
    vocabulary.known("protocol", name, vocabulary.PROTOCOLS)
    warmup = None if request.warmup == AUTO else whole_number("warmup", request.warmup, 1)
    steps = None if request.steps == AUTO else whole_number("steps", request.steps, 1)
    return protocol.choose(name, warmup, steps)


def _ctx(text: str, kind: str, model: Model, chosen: Protocol) -> int:
    ctx = whole_number("ctx", DEFAULT_CTX[kind] if text == AUTO else text, 1)
    limit = model.shape.max_positions
    if sequence_tokens(ctx, chosen.warmup, chosen.steps) <= limit:
        return ctx
    largest = limit - max(chosen.warmup + chosen.steps, GATE_STEPS)
    hint = f"the largest ctx is {largest}" if largest > 0 else "choose fewer steps"
    raise BadValue(
        f"ctx={ctx} with {chosen.warmup} warm-up and {chosen.steps} timed steps goes beyond the {limit} "
        f"positions of {model.key}: {hint}"
    )


def _quant(name: str) -> str:
    chosen = "bf16" if name == AUTO else name
    return vocabulary.available("quant", chosen, vocabulary.QUANTS, registry.format_names())


def _kernel(quant: str, name: str, kind: str) -> KernelDeclaration:
    if name == AUTO:
        return _first_kernel(quant, kind)
    built = registry.kernel_names()
    kernel = registry.kernel(vocabulary.available("kernel", name, vocabulary.KERNELS, built)).DECLARATION
    _check_pair(f"kernel={name}", "quant", quant, kernel.quants)
    if kind not in kernel.devices:
        needed = "a CUDA GPU" if CUDA in kernel.devices else "the CPU, gpu=cpu"
        raise BadPair(f"kernel={name} needs {needed}, and this cell is on the {kind.upper()}")
    return kernel


def _first_kernel(quant: str, kind: str) -> KernelDeclaration:
    declared = [registry.kernel(name).DECLARATION for name in registry.kernel_names()]
    fitting = [kernel for kernel in declared if quant in kernel.quants]
    here = [kernel for kernel in fitting if kind in kernel.devices]
    if not here:
        raise BadPair(
            f"quant={quant} needs a CUDA GPU, for that is where {', '.join(kernel.name for kernel in fitting)} run; "
            f"quant=bnb-nf4 runs on a {kind.upper()}, too"
        )
    return next((kernel for kernel in here if quant in kernel.default_of), here[0])


def _check_home(kernel: KernelDeclaration, stack: str, card: InstalledGpu | None) -> None:
    """Does the kernel's package live in this stack, and does it run on this card?"""
    if stack != AUTO:
        _check_pair(f"kernel={kernel.name}", "stack", stack, kernel.stacks)
    if card is None or kernel.capability is None or card.compute_capability is None:
        return
    if tuple(map(int, card.compute_capability.split("."))) < kernel.capability:
        needed = ".".join(map(str, kernel.capability))
        raise BadPair(
            f"kernel={kernel.name} needs compute capability {needed} or more, gpu {card.index} ({card.name}) has "
            f"{card.compute_capability}: choose another kernel, quant or card"
        )


def _dtype(name: str, kernel: KernelDeclaration) -> str:
    if name == AUTO:
        return kernel.dtypes[0]
    _check_pair(f"kernel={kernel.name}", "dtype", vocabulary.known("dtype", name, vocabulary.DTYPES), kernel.dtypes)
    return name


def _runtime(name: str, quant: str, kernel: KernelDeclaration, kind: str) -> RuntimeDeclaration:
    chosen = "eager" if name == AUTO else name
    vocabulary.available("runtime", chosen, vocabulary.RUNTIMES, registry.runtime_names())
    runtime = registry.runtime(chosen).DECLARATION
    if kind not in runtime.devices:
        raise BadPair(
            f"runtime={chosen} needs a CUDA GPU, and this cell is on the {kind.upper()}: choose runtime=eager"
        )
    if runtime.quants is not None:
        _check_pair(f"runtime={chosen}", "quant", quant, runtime.quants)
    if runtime.kernels is not None:
        _check_pair(f"runtime={chosen}", "kernel", kernel.name, runtime.kernels)
    if runtime.replays_eager and not kernel.capturable:
        raise BadPair(f"kernel={kernel.name} cannot be captured in a CUDA graph, which runtime={chosen} needs")
    return runtime


def _of_runtime(field: str, value: str, runtime: RuntimeDeclaration, words: Iterable[str]) -> str:
    """A cache or attention: the runtime's first, or the asked-for one where this runtime has it."""
    plural = {"cache": "caches", "attention": "attentions"}[field]
    here: tuple[str, ...] = getattr(runtime, plural)
    if value == AUTO:
        return here[0]
    declared = [registry.runtime(name).DECLARATION for name in registry.runtime_names()]
    vocabulary.available(field, value, words, dict.fromkeys(v for one in declared for v in getattr(one, plural)))
    _check_pair(f"runtime={runtime.name}", field, value, here)
    return value


def _check_pair(owner: str, field: str, value: str, allowed: Iterable[str]) -> None:
    present = tuple(allowed)
    if value not in present:
        raise BadPair(f"{field}={value} does not go with {owner} (it goes with: {', '.join(present)})")


def _options(text: str, runtime: RuntimeDeclaration, quant: str, synthetic: bool) -> dict[str, str]:
    """Those of the runtime, and the choices that a format leaves to synthetic weights (a checkpoint has made them)."""
    choices = registry.weight_format(quant).DECLARATION.options
    asked = option_map(text)
    if not synthetic and (made := [name for name in asked if name in choices]):
        raise BadPair(f"options={text}: {', '.join(made)} is for synthetic weights, a checkpoint has its own")
    own = choices if synthetic else {}
    allowed = {**runtime.options, **own}
    options = {**runtime.defaults, **{name: values[0] for name, values in own.items()}, **asked}
    owner = f"runtime={runtime.name}" + (f", quant={quant}" if own else "")
    for name, value in options.items():
        if not allowed:
            raise BadPair(f"options={text}: {owner} takes no options")
        vocabulary.known(f"option of {owner}", name, allowed)
        vocabulary.known(f"option {name}", value, allowed[name])
    return options


def _scheme(quant: str, options: dict[str, str]) -> Scheme | None:
    """Of synthetic weights."""
    if not registry.weight_format(quant).DECLARATION.packed:
        return None
    return registry.packed_format(quant).scheme(options)


def _checkpoint(request: Request, model: Model, quant: str) -> Checkpoint | None:
    if request.weights in (AUTO, SYNTHETIC):
        return None
    if request.weights != HUB:
        return _local(weights_folder(request.weights), model, quant)
    entry = model.checkpoints.get(quant)
    if entry is None:
        known = ", ".join(model.checkpoints) or "none"
        raise BadCheckpoint(f"the catalogue has no hub checkpoint of {model.key} in {quant} (it has: {known})")
    with readable.checked(entry.hub):
        return checkpoint.on_hub(entry, model.shape, quant)


def _local(path: str, model: Model, quant: str) -> Checkpoint:
    try:
        with readable.checked(f"weights={path}"):
            return checkpoint.local(path, model.shape, quant)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{error}{_meant(path)} (weights is synthetic, hub, a folder or env:NAME)") from error


def _meant(path: str) -> str:
    """Returns what this may have been meant for, if there is no such folder; empty if there is."""
    if os.path.exists(os.path.expanduser(path)):
        return ""
    if HUB_NAME.fullmatch(path):
        return "; a checkpoint on the hub is named in models.yaml, and taken by weights=hub"
    if "/" in path:
        return ""
    # a plain word is rather a mistyped `synthetic` or `hub` than a folder
    word, colon, name = path.partition(":")
    return vocabulary.suggestion(path, (f"{FROM_ENVIRONMENT}{name}",) if colon and len(word) < 5 else (SYNTHETIC, HUB))
