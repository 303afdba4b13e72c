"""The right path and each mutant of packed weights, on each kernel and in the exllamav2 engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from runner import registry
from runner.cell import catalogue, floors, protocol
from runner.cell.cell import Cell
from runner.cell.scheme import Scheme
from runner.declarations import Step
from runner.job import Device, Job, SessionInfo
from runner.record import bounds, gaterules
from runner.runtimes.eager import EagerStep
from runner.runtimes.graph import GraphStep
from runner.worker import caches, gate, model, plainlinear, tokens
from tests.support import packed_mutants
from tests.support.gate_errors import checked, run_to_run
from tests.support.mutants import MUTANTS, REPLAY_MUTANTS

PROTOCOL = protocol.NAMED["paper"]
ASYMMETRIC, ENGINE = ":asym", "exllamav2"
PATHS = (
    "bnb-nf4/bitsandbytes/graph",
    "awq/marlin/graph",
    "awq/autoawq-triton/graph",
    "gptq/exllamav2/graph",
    "gptq:asym/exllamav2/graph",
    "gptq/marlin/graph",
    "gptq/exllamav2/exllamav2",
    "gptq:asym/exllamav2/exllamav2",
)
Broken = Iterator[tuple[str | None, AbstractContextManager[Step]]]


@dataclass(frozen=True)
class Case:
    """One model on one path: quant, kernel and runtime."""

    name: str
    ctx: int
    path: str
    device: torch.device

    @property
    def quant(self) -> str:
        return self.path.partition("/")[0].removesuffix(ASYMMETRIC)

    @property
    def kernel(self) -> str:
        return self.path.split("/")[1]

    @property
    def runtime(self) -> str:
        return self.path.split("/")[2]

    @property
    def dtype(self) -> str:
        return registry.kernel(self.kernel).DECLARATION.dtypes[0]

    @property
    def scheme(self) -> Scheme:
        chosen = registry.packed_format(self.quant)
        options = {name: values[0] for name, values in chosen.DECLARATION.options.items()}
        return chosen.scheme(options | ({"sym": "false"} if ASYMMETRIC in self.path else {}))

    @property
    def changes(self) -> dict[str, packed_mutants.Change]:
        return dict(packed_mutants.changes(self.quant, self.quant == "gptq" and self.scheme.sym))

    def build(self) -> Any:
        shape = catalogue.models()[self.name].shape
        dtype = model.DTYPES[self.dtype]
        return model.build_synthetic(model.Build(shape, self.quant, self.scheme, dtype, self.device))


def packed_rows(name: str, ctx: int, path: str, device: torch.device) -> list[dict[str, Any]]:
    """One row for the right path, with its difference from run to run, and one for each mutant."""
    case = Case(name, ctx, path, device)
    shape, built = catalogue.models()[name].shape, case.build()
    count = floors.sequence_tokens(ctx, PROTOCOL.warmup, PROTOCOL.steps)
    drawn = tokens.draw(shape.vocab, count, 0, device)
    expectation = gate.expect(built, shape, drawn, ctx, PROTOCOL)
    held = bounds.cell_bounds(case.dtype, case.runtime, case.quant, case.kernel, shape.hidden)
    cache = "engine" if case.runtime == ENGINE else "static"
    common = {
        "model": name,
        "weights": f"{path.partition('/')[0]}/{case.kernel}",
        "ctx": ctx,
        "dtype": case.dtype,
        "runtime": case.runtime,
        "cache": cache,
        "trusted": max(expectation.trusted),
        **limits_of(held, ctx),
    }
    found = []
    for mutant, broken in (_engines if case.runtime == ENGINE else _graphs)(case, built, drawn):
        with broken as step:
            errors = checked(step, ctx, expectation, held)
            repeat = {} if mutant else {"run_to_run": run_to_run(step, ctx)}
        found.append({**common, "mutant": mutant, **errors, **repeat})
    return found


def limits_of(held: Mapping[str, float], ctx: int) -> dict[str, float]:
    """The cap, and the most that the ratio may be over the positions of one check."""
    ratio = gaterules.limit(
        held["stated_ratio"], held["stated_spread"], floors.teacher_forced_steps(ctx, PROTOCOL.warmup, PROTOCOL.steps)
    )
    return {"cap": held["cap"], "limit": round(ratio, 4)}


def _graphs(case: Case, built: Any, drawn: tokens.Tokens) -> Broken:
    """The kernel's layers in the transformers model, captured in a graph."""

    @contextmanager
    def path(
        change: packed_mutants.Change | None = None,
        before: Callable[[EagerStep], Any] = nullcontext,
        after: Callable[[Any, GraphStep], Any] = lambda _made, _step: nullcontext(),
    ) -> Any:
        with packed_mutants.kernel_in(built, case.kernel, change) as made:
            rows = floors.kv_alloc_tokens(case.ctx, PROTOCOL.warmup, PROTOCOL.steps)
            step = EagerStep(made, caches.make("static", made, rows), drawn)
            with before(step):
                step.prefill(floors.GATE_SHORT_CTX)
                captured = GraphStep(step)
                with after(made, captured):
                    yield captured

    yield None, path()
    yield "empty-graph", path(after=lambda _, step: REPLAY_MUTANTS["empty-graph"](step))
    yield "stale-buffers", path(after=lambda made, _: packed_mutants.stale_buffers(made))
    for mutant in packed_mutants.ENGINE_MUTANTS:
        yield mutant, path(before=MUTANTS[mutant])
    for mutant, change in case.changes.items():
        yield mutant, path(change)


def _engines(case: Case, built: Any, drawn: tokens.Tokens) -> Broken:
    """The engine over a checkpoint of the same tensors; it takes the model's memory, so each is built anew."""
    from runner.runtimes import _exllamav2engine

    @contextmanager
    def path(made: Any, change: packed_mutants.Change | None = None, after: Callable[[Any], Any] = nullcontext) -> Any:
        for plain in plainlinear.plain_linears(made).values():
            plain.tensors = plain.tensors if change is None else change(plain)
        step = _exllamav2engine.build(made, drawn, _job(case))
        with after(step):
            yield step

    yield None, path(built)
    yield "stale-buffers", path(case.build(), after=packed_mutants.stale_engine)
    for mutant, planted in packed_mutants.ENGINE_MUTANTS.items():
        yield mutant, path(case.build(), after=planted)
    for mutant, change in case.changes.items():
        yield mutant, path(case.build(), change)


def _job(case: Case) -> Job:
    """As much of a job as building an engine reads."""
    options = {"sdpa": "flash"}
    cell = Cell(
        "gpu", case.name, case.ctx, "gptq", "exllamav2", ENGINE, "engine", "engine", "fp16", "synthetic-v1", options
    )
    return Job(
        session=SessionInfo("mutants", "mutants", 0, 0, 0),
        request={},
        cell=cell,
        protocol=replace(PROTOCOL),
        model_name=case.name,
        shape=catalogue.models()[case.name].shape,
        scheme=case.scheme,
        checkpoint=None,
        device=Device("cuda", None, "gpu", "gpu", None, False, None),
        given_flags=(),
        record_path="",
        started_s=0.0,
    )
