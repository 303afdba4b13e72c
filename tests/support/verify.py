"""Records that `runner verify` finds right, and its lines about them once they are edited."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from runner.cell.jsonform import Misfit
from runner.record import record
from runner.record.verify import recompute
from tests.support.derive import derive, is_measured, judge
from tests.support.edits import Edit, Record, all_of, derived_again, put
from tests.support.records import cpu_record, example_record, of_gate_version_1, packed_record

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
EAGER = min((EXPERIMENTS / "records" / "h200").glob("*.json"))
GRAPH = next((EXPERIMENTS / "gate").glob("llama-3.1-8b-2048-gptq-fp16-marlin-*.json"))

WEIGHTS = 15_231_233_024  # Qwen2.5-7B in bf16

Make = Callable[[], Record]
Side = tuple[Make, Edit, str | None]
"""How a record is made and edited, and the beginning of the line about it; None if the edited record is right."""


def committed() -> Record:
    return record.read(EAGER)


def committed_graph() -> Record:
    return record.read(GRAPH)


def dynamic() -> Record:
    return example_record(cell={"cache": "dynamic"})


def on_cpu() -> Record:
    return cpu_record(cell={"cache": "dynamic"})


def older() -> Record:
    """Returns a record of gate version 1."""
    return of_gate_version_1(example_record())


def gptq() -> Record:
    return packed_record("gptq")


def awq() -> Record:
    return packed_record("awq", "marlin")


def nf4() -> Record:
    return packed_record("bnb-nf4", "bitsandbytes", "bf16")


def engine() -> Record:
    return packed_record("gptq", "exllamav2", "fp16", 18.0, "exllamav2")


def of_checkpoint() -> Record:
    """Returns a record of a checkpoint's weights, packed as synthetic ones are: any scheme of their format is right."""
    found = packed_record()
    all_of(
        put("cell.options", {}),
        put("cell.weights_id", "headers-0123456789abcdef"),
        put("request.weights", "local"),
        put("gate.checkpoint_spread", 0.75),
    )(found)
    return derived_again(found)


@cache
def _checked(make: Make) -> Record:
    found = make()
    assert recompute.differences(found) == []
    return found


def right(make: Make) -> Record:
    """Returns a copy of the record, about which `verify` must have no line."""
    return copy.deepcopy(_checked(make))


def lines_about(found: Record, edit: Edit) -> list[str]:
    """Returns what `verify` says of the edited record, with all that follows derived again."""
    edit(found)
    return recompute.differences(derived_again(found))


def lines_with_given_keys(found: Record, edit: Edit) -> list[str]:
    """Returns what `verify` says of the edited record, with all that follows but the keys derived again."""
    edit(found)
    if is_measured(found):
        with suppress(Misfit):  # from a record of no type nothing is derived
            derive(found)
            judge(found)
    return recompute.differences(found)


Tolerance = tuple[Make, Callable[[Any], Edit], Iterable[Any], Iterable[Any], str]


def sides(tolerances: dict[str, Tolerance]) -> dict[str, Side]:
    """Returns an edit for each value of each tolerance, within it and beyond it."""
    return {
        f"{name}: {value}": (make, edit(value), line if value in beyond else None)
        for name, (make, edit, within, beyond, line) in tolerances.items()
        for value in (*within, *beyond)
    }


def assert_named(make: Make, edit: Edit, line: str) -> None:
    """Checks that `verify` names the edit of a right record in a line that begins so."""
    said = lines_about(right(make), edit)
    assert any(one.startswith(line) for one in said), said


def assert_side(make: Make, edit: Edit, line: str | None) -> None:
    """Checks one side of a tolerance: no line, or one that begins so."""
    said = lines_about(make(), edit)
    is_right = said == [] if line is None else any(one.startswith(line) for one in said)
    assert is_right, said


def tail() -> Record:
    """Returns a record of the protocol `tail`."""
    return example_record(protocol={"name": "tail", "steps": 300})


def tail_long() -> Record:
    """Returns a record of the protocol `tail-long`, whose wall pass has ten windows."""
    return example_record(protocol={"name": "tail-long", "steps": 300, "windows": 10})
