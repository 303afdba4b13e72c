"""Resolution of a request into a plan: every `auto` replaced and every pair checked, before weights are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner import registry
from runner.cell import catalogue, protocol, vocabulary
from runner.cell.catalogue import Model
from runner.cell.cell import Cell
from runner.cell.floors import GATE_STEPS, sequence_tokens
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.vocabulary import AUTO, CPU, CUDA, DEFAULT_PROTOCOL, SYNTHETIC_ID
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.errors import BadPair, BadValue
from runner.job import Device
from runner.plan import cards, fieldvalues, pairs
from runner.plan.cards import DEFAULT_MODEL, Installed
from runner.plan.remedies import Unpaired, advised
from runner.plan.request import Request, option_map
from runner.plan.sessionplan import Plan
from runner.plan.weights import checkpoint_of

if TYPE_CHECKING:
    from runner.machine.installedgpu import InstalledGpu

DEFAULT_STUDY = "adhoc"
DEFAULT_CTX = {CPU: "256", CUDA: "2048"}
DEFAULT_QUANT, DEFAULT_RUNTIME = "bf16", "eager"


@dataclass(frozen=True)
class Paired:
    """The part of a plan that is known before weights are read: its fields go together. The cell has default weights
    and options. `card` is None for the CPU."""

    card: InstalledGpu | None
    device: Device
    model: Model
    protocol: Protocol
    cell: Cell


def resolve(request: Request, installed: Installed) -> Plan:
    """Returns the plan of a request on a machine with these GPUs. The GPU is checked first.

    Raises UnknownName, BadValue, NotAvailable, BadPair, GpuNotFound, GpuAmbiguous or BadCheckpoint.
    """
    try:
        pair = paired(request, installed)
    except Unpaired as error:
        raise advised(error, [request], lambda changed: paired(changed, installed)) from error
    cell = pair.cell
    weights = checkpoint_of(request, pair.model, cell.quant)
    options = _options(request.options, registry.runtime(cell.runtime).DECLARATION, cell.quant, weights is None)
    scheme = _scheme(cell.quant, options) if weights is None else weights.scheme
    pairs.check_scheme(cell, scheme)
    weights_id = SYNTHETIC_ID if weights is None else weights.weights_id
    return Plan(
        cell=replace(cell, weights_id=weights_id, options=options),
        protocol=pair.protocol,
        device=pair.device,
        memory_bytes=pair.card.memory_bytes if pair.card else None,
        model=pair.model,
        scheme=scheme,
        checkpoint=weights,
        seed=_seed(request.seed),
        study=DEFAULT_STUDY if request.study == AUTO else request.study,
        flags=(*(() if weights is None else weights.flags(cell.dtype)), *pairs.flags(cell.kernel, pair.card)),
        energy=_measures_energy(request.energy, pair.device),
        host_condition=fieldvalues.host_condition(request.host_condition),
    )


VARIED = ("ctx", "seed")
"""Fields of a request on which no other part of a plan depends."""


def varied(plan: Plan, request: Request) -> Plan:
    """Returns the plan of a request that differs from the plan's own in the fields of VARIED alone.

    A study with thousands of cells resolves the other fields once. Raises BadValue.
    """
    ctx = _ctx(request.ctx, plan.device.kind, plan.model, plan.protocol)
    return replace(plan, cell=replace(plan.cell, ctx=ctx), seed=_seed(request.seed))


def paired(request: Request, installed: Installed) -> Paired:
    """Returns the first part of the plan of a request. Raises Unpaired, and the other errors of `resolve`."""
    card = cards.choose_card(request.gpu, request.device, installed)
    device = cards.device_of(card)
    fieldvalues.checked("where", request.where)
    fieldvalues.checked("stack", request.stack)
    model = _model(request.model, device.kind)
    chosen = _protocol(request)
    cell = _cell(request, device, model, _ctx(request.ctx, device.kind, model, chosen))
    pairs.check(cell)
    pairs.check_protocol(request, chosen, cell.cache)
    pairs.check_home(cell.kernel, request.stack, card)
    return Paired(card, device, model, chosen, cell)


def _cell(request: Request, device: Device, model: Model, ctx: int) -> Cell:
    """Returns the cell of a request, with default weights and options. Its pairs are not checked yet."""
    runtime = _runtime(request.runtime)
    cell = Cell(
        gpu=device.gpu,
        model=model.key,
        ctx=ctx,
        quant=_chosen("quant", request.quant, DEFAULT_QUANT),
        kernel="",
        runtime=runtime.name,
        attention=_chosen("attention", request.attention, runtime.attentions[0]),
        cache=_chosen("cache", request.cache, runtime.caches[0]),
        dtype="",
        weights_id=SYNTHETIC_ID,
    )
    return _with_kernel(cell, request.kernel, request.dtype)


def _model(name: str, kind: str) -> Model:
    models = catalogue.models()
    if name == AUTO and DEFAULT_MODEL[kind] not in models:
        file = catalogue.folder() / "models.yaml"
        raise BadValue(f"model=auto is {DEFAULT_MODEL[kind]} here, which {file} does not have: name one of its models")
    return models[_chosen("model", name, DEFAULT_MODEL[kind])]


def _protocol(request: Request) -> Protocol:
    name = _chosen("protocol", request.protocol, DEFAULT_PROTOCOL)
    counts = {"warmup": request.warmup, "steps": request.steps, "windows": request.windows}
    numbers = (None if text == AUTO else fieldvalues.number(field, text) for field, text in counts.items())
    return protocol.choose(name, *numbers)


def _ctx(text: str, kind: str, model: Model, counts: Protocol) -> int:
    ctx = fieldvalues.number("ctx", DEFAULT_CTX[kind] if text == AUTO else text)
    limit = model.shape.max_positions
    if sequence_tokens(ctx, counts.warmup, counts.steps) <= limit:
        return ctx
    largest = limit - max(counts.warmup + counts.steps, GATE_STEPS)
    hint = f"the largest ctx is {largest}" if largest > 0 else "choose fewer steps"
    raise BadValue(f"ctx={ctx} with {counts.counts} goes beyond the {limit} positions of {model.key}: {hint}")


def _seed(text: str) -> int:
    return 0 if text == AUTO else fieldvalues.number("seed", text)


def _measures_energy(text: str, device: Device) -> bool:
    """Returns whether energy is measured. Raises BadPair on a CPU, which has no counter that this project reads."""
    is_on = _chosen("energy", text, vocabulary.OFF) == vocabulary.ON
    if is_on and device.kind != CUDA:
        raise BadPair("energy=on needs a GPU, whose energy NVML counts, and this cell is on the CPU: leave out energy")
    return is_on


def _runtime(name: str) -> RuntimeDeclaration:
    return registry.runtime(_chosen("runtime", name, DEFAULT_RUNTIME)).DECLARATION


def _with_kernel(cell: Cell, name: str, dtype: str) -> Cell:
    """Returns the cell with the requested kernel and dtype, or with the defaults of its quant and kernel."""
    kernel = pairs.default_kernel(cell) if name == AUTO else _kernel(name)
    return replace(cell, kernel=kernel.name, dtype=_chosen("dtype", dtype, kernel.dtypes[0]))


def _kernel(name: str) -> KernelDeclaration:
    return registry.kernel(fieldvalues.checked("kernel", name)).DECLARATION


def _chosen(field: str, value: str, default: str) -> str:
    """Returns the checked value, or the default of `auto`."""
    return default if value == AUTO else fieldvalues.checked(field, value)


def _options(text: str, runtime: RuntimeDeclaration, quant: str, synthetic: bool) -> dict[str, str]:
    """Returns the runtime's options, and those of the format for synthetic weights."""
    format_options = registry.weight_format(quant).DECLARATION.options
    requested = option_map(text)
    if not synthetic and (unused := [name for name in requested if name in format_options]):
        names = ", ".join(unused)
        raise BadPair(f"options={text}: {names} is for synthetic weights, a checkpoint has its own: leave out {names}")
    added = format_options if synthetic else {}
    allowed = {**runtime.options, **added}
    options = {**runtime.defaults, **{name: values[0] for name, values in added.items()}, **requested}
    owner = f"runtime={runtime.name}" + (f", quant={quant}" if added else "")
    for name, value in options.items():
        if not allowed:
            raise BadPair(f"options={text}: {owner} takes no options: leave them out")
        vocabulary.checked_name(f"option of {owner}", name, allowed)
        vocabulary.checked_name(f"option {name}", value, allowed[name])
    return options


def _scheme(quant: str, options: dict[str, str]) -> Scheme | None:
    """Returns the scheme of synthetic weights, or None for an unpacked format."""
    if not registry.weight_format(quant).DECLARATION.packed:
        return None
    return registry.packed_format(quant).scheme(options)
