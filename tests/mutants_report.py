"""Plant every mutant in a model at full size on this machine's GPU and write what the gate measured, as JSON.

python -m tests.mutants_report --models qwen2.5-7b --ctx 2048 --dtypes bf16,fp16 --out docs/evidence/mutants/h200.json
python -m tests.mutants_report --render docs/evidence/mutants/*.json          # the Markdown tables of docs/mutants.md
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from runner.cell import catalogue, floors, protocol
from runner.declarations import Step
from runner.record import bounds
from runner.runtimes.compile import CompiledStep
from runner.runtimes.eager import EagerStep
from runner.runtimes.graph import GraphStep
from runner.worker import caches, gate, model, tokens
from tests.packed_report import PATHS, limits_of, packed_rows
from tests.support.gate_errors import checked
from tests.support.mutants import CAPTURE_MUTANTS, MUTANTS, REPLAY_MUTANTS, SMALL_MUTANTS

PROTOCOL = protocol.NAMED["paper"]
ERRORS = {"short": "error at ctx 17", "ctx_error": "error at ctx"}
WITH_BOUND = {**ERRORS, "bound": "bound"}  # reports by the rules of gate version 1
WITH_RATIO = {**ERRORS, "short_ratio": "ratio at ctx 17", "ctx_ratio": "ratio at ctx", "limit": "limit"}
WAYS = (("eager", "dynamic"), ("eager", "static"), ("graph", "static"), ("compile", "static"))


def rows(name: str, ctx: int, dtype: str, runtimes: Sequence[str], device: torch.device) -> list[dict[str, Any]]:
    """The right path and each mutant that the model can have, over both caches, and in each runtime made of eager."""
    shape = catalogue.models()[name].shape
    built = model.build_synthetic(model.Build(shape, "bf16", None, model.DTYPES[dtype], device))
    count = floors.sequence_tokens(ctx, PROTOCOL.warmup, PROTOCOL.steps)
    drawn = tokens.draw(shape.vocab, count, 0, device)
    expectation = gate.expect(built, shape, drawn, ctx, PROTOCOL)
    held = bounds.cell_bounds(dtype, "", "bf16", "", shape.hidden)
    common = {"model": name, "ctx": ctx, "dtype": dtype, "trusted": max(expectation.trusted), **limits_of(held, ctx)}
    found = []
    for runtime, cache in WAYS:
        if runtime not in runtimes:
            continue
        allocation = floors.kv_alloc_tokens(ctx, PROTOCOL.warmup, PROTOCOL.steps)
        step = EagerStep(built, caches.make(cache, built, allocation), drawn)
        for mutant, broken in _broken(step, runtime, shape.qkv_bias):
            with broken as path:
                errors = checked(path, ctx, expectation, held)
            found.append({**common, "runtime": runtime, "cache": cache, "mutant": mutant, **errors})
    return found


def _broken(step: EagerStep, runtime: str, has_bias: bool) -> Iterator[tuple[str | None, AbstractContextManager[Step]]]:
    """Each mutant's name, None for the right path, and the broken step, planted while it is entered."""
    yield None, _path(step, runtime)
    captured = CAPTURE_MUTANTS if runtime == "graph" else {}
    for name, planted in (MUTANTS | SMALL_MUTANTS | captured).items():
        if name not in ("no-bias", "one-key-bias-missing") or has_bias:
            yield name, _path(step, runtime, before=planted)
    if runtime == "graph":
        for name, planted in REPLAY_MUTANTS.items():
            yield name, _path(step, runtime, after=planted)


@contextmanager
def _path(step: EagerStep, runtime: str, before: Any = nullcontext, after: Any = nullcontext) -> Iterator[Step]:
    """The step in its runtime, one mutant planted before it was captured, another after."""
    with before(step):
        step.prefill(floors.GATE_SHORT_CTX)
        path = _made_of(step, runtime)
        with after(path):
            yield path


def _made_of(step: EagerStep, runtime: str) -> Step:
    if runtime == "graph":
        return GraphStep(step)
    if runtime == "compile":
        torch._dynamo.reset()  # each mutant is compiled anew
        return CompiledStep(step, "reduce-overhead")
    return step


def render(report: dict[str, Any]) -> str:
    """A Markdown table of a report."""
    columns = ["model", "dtype", "ctx", "runtime", "cache"]
    figures = WITH_BOUND if "bound" in report["rows"][0] else WITH_RATIO
    if any("weights" in row for row in report["rows"]):
        columns.insert(1, "weights")
    lines = [
        f"Measured on {report['gpu']} with torch {report['torch']}, transformers {report['transformers']}.",
        "",
        f"| {' | '.join((*columns, 'mutant', *figures.values()))} | verdict |",
        "|---" * (len(columns) + len(figures) + 2) + "|",
    ]
    for row in report["rows"]:
        names = (str(row[name]) for name in columns)
        repeat = f", {row['run_to_run']:.2g} from run to run" if row.get("run_to_run") else ""
        words = [*names, row["mutant"] or f"(none: the right path{repeat})"]
        words += [f"{row[name]:.3g}" for name in figures]
        lines.append(f"| {' | '.join(words)} | {'rejected' if row['rejected'] else 'accepted'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="qwen2.5-7b")
    parser.add_argument("--ctx", default="2048")
    parser.add_argument("--dtypes", default="bf16")
    parser.add_argument("--runtimes", default="eager", help="eager, graph, compile")
    parser.add_argument("--paths", default="", help=f"packed weights instead: {', '.join(PATHS)}")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--render", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.render:
        print("\n".join(render(json.loads(path.read_text())) for path in arguments.render), end="")
        return 0
    import transformers

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    report: dict[str, Any] = {
        "gpu": gpu,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "rows": [],
    }
    asked = (arguments.models.split(","), arguments.ctx.split(","), arguments.dtypes.split(","))
    with torch.inference_mode():
        for name, ctx, path in itertools.product(*asked[:2], filter(None, arguments.paths.split(","))):
            report["rows"] += packed_rows(name, int(ctx), path, device)
        for name, ctx, dtype in itertools.product(*asked) if not arguments.paths else ():
            report["rows"] += rows(name, int(ctx), dtype, arguments.runtimes.split(","), device)
    text = json.dumps(report, indent=1) + "\n"
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    print(render(report), end="")
    wrong = [row for row in report["rows"] if row["rejected"] == (row["mutant"] is None)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
