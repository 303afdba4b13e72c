"""Derive the gate's ratios and spreads from the committed records, and try them on a model that they do not come from.

python -m tests.gate_limits

The rule: a path's ratio is the largest geometric mean of error / trusted error over one check (the positions from 17 or
from ctx). Its spread is the largest standard deviation of that ratio's logarithm within a check. Both are taken over
all sessions of gate version 1 of the models in FROM, rounded up to three decimals. Unquantised sessions give a dtype
its own. A path that has had other arithmetic since then takes its first sessions of version 2 instead. No later session
moves a limit.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from runner import registry
from runner.cell import floors
from runner.record import bounds, gaterules, record, spool
from tests.support.derive import is_measured

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
FOLDERS = (EXPERIMENTS / "records", EXPERIMENTS / "gate")  # the second: sessions that are there for a limit alone
FROM, TRIED_ON = ("qwen2.5-7b", "mistral-7b"), ("llama-3.1-8b",)
PLAIN = "bf16"
DECIMALS = 1000


@dataclass(frozen=True)
class Limits:
    """How far honest checks of one path lie from trusted eager."""

    ratio: float
    spread: float
    checks: int


def path_of(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Returns where a cell's bounds are stated: (runtime, quant/kernel or empty for the dtype itself; dtype)."""
    if cell["dtype"] in registry.runtime(cell["runtime"]).DECLARATION.bounds:
        return cell["runtime"], cell["dtype"]
    if cell["quant"] == PLAIN:
        return "", cell["dtype"]
    return f"{cell['quant']}/{cell['kernel']}", cell["dtype"]


def declared() -> Iterator[tuple[str, str]]:
    """Yields the path of each bound that a runtime or a kernel declares."""
    for runtime in registry.runtime_declarations():
        yield from ((runtime.name, dtype) for dtype in runtime.bounds)
    for kernel in registry.kernel_declarations():
        yield from ((f"{quant}/{kernel.name}", dtype) for quant, bounds in kernel.bounds.items() for dtype in bounds)


def driven(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The checks of the steps that the gate drives from 17 and from ctx."""
    return (check for check in found["gate"]["checks"] if check["name"] in gaterules.DRIVEN)


def limits(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Limits]:
    """The ratio and spread of each path over these records."""
    checks = defaultdict(list)
    for found in records:
        checks[path_of(found["cell"])] += driven(found)
    return {path: _limits(of_path) for path, of_path in sorted(checks.items())}


def _limits(checks: list[Mapping[str, Any]]) -> Limits:
    ratios = [gaterules.ratio(check["errors"], check["trusted"]) for check in checks]
    spreads = [stdev(map(_logarithm, check["errors"], check["trusted"])) for check in checks]
    return Limits(_rounded_up(max(ratios)), _rounded_up(max(spreads)), len(checks))


def _logarithm(own: float, right: float) -> float:
    return math.log(own / right)


def _rounded_up(value: float) -> float:
    return math.ceil(value * DECIMALS) / DECIMALS


def committed(models: Iterable[str]) -> list[dict[str, Any]]:
    """The measured sessions that limits come from of these models among the committed records, valid or not."""
    found = (record.read(path) for folder in FOLDERS for path in spool.record_files(folder))
    measured = (one for one in found if is_measured(one) and one["cell"]["model"] in models)
    return [one for one in measured if _counts(one)]


def _counts(found: Mapping[str, Any]) -> bool:
    """A path whose arithmetic has changed since version 1 states the code of the sessions that count."""
    (path, dtype), keys = path_of(found["cell"]), found["keys"]
    quant, _, kernel = path.partition("/")
    if under := bounds.derived_under(quant, kernel, dtype):
        return bool(keys["code_key"] == under["code_key"])
    return "gate_version" not in found["gate"]


def main() -> int:
    derived = limits(committed(FROM))
    tried = limits(committed(TRIED_ON))
    for (name, dtype), found in derived.items():
        most = gaterules.limit(found.ratio, found.spread, 2 * floors.GATE_MOST_STEPS)
        other = tried.get((name, dtype))
        shown = "not tried" if other is None else f"{TRIED_ON[0]} reaches {other.ratio:.3f}"
        print(
            f"{name or 'unquantised':24} {dtype}: ratio {found.ratio:.3f}, spread {found.spread:.3f} of {found.checks} "
            f"checks; limit {most:.3f}; {shown}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
