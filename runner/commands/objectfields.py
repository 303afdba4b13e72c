"""The fields of the objects that commands print with `--json`: the lists of docs/json.md, which it prints as a
program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from runner.commands.objects import Cells, Gpus, ListedGpu, ListedModel, Models, SessionResult, Verification
from runner.doctor.finding import Examination, Finding
from runner.jsonoutput import ErrorInfo
from runner.record.schema import docstrings
from runner.tailsummary import Tail

OUTPUTS: Mapping[str, tuple[type, ...]] = {
    "cell": (Cells, SessionResult, Tail),
    "verify": (Verification,),
    "gpus": (Gpus, ListedGpu),
    "models": (Models, ListedModel),
    "doctor": (Examination, Finding),
}
"""Command → the object that it prints, and the objects inside it."""


def markdown() -> str:
    """Returns the list of all fields in docs/json.md as Markdown."""
    sections = {"Errors": (ErrorInfo,), **{f"`{command} --json`": kinds for command, kinds in OUTPUTS.items()}}
    return "\n".join(line for heading, kinds in sections.items() for line in _section(heading, kinds))


def _section(heading: str, kinds: Sequence[type]) -> Iterator[str]:
    yield f"## {heading}\n"
    for kind in kinds:
        meanings = docstrings(kind)
        yield from (f"{' '.join((kind.__doc__ or '').split())}\n", "| field | meaning |", "|---|---|")
        yield from (f"| `{field.name}` | {meanings[field.name]} |" for field in fields(kind))
        yield ""


if __name__ == "__main__":
    print(markdown(), end="")
