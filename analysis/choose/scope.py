"""The scope of a question: a model at a context length, on some GPUs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runner.cell import catalogue
from runner.cell.vocabulary import AUTO, checked_name
from runner.errors import BadValue

MODEL, CTX = "qwen2.5-7b", "2048"
"""Model and ctx of a cell on a GPU for which nobody named them."""


@dataclass(frozen=True)
class Scope:
    """A model at a context length on some GPUs. `named` says whether somebody named the GPUs."""

    model: str
    ctx: int
    gpus: tuple[str, ...]
    named: bool = False

    def has(self, gpu: str, model: str, ctx: int) -> bool:
        """Returns whether a configuration is inside."""
        return gpu in self.gpus and (model, ctx) == (self.model, self.ctx)

    @property
    def gpu_words(self) -> str:
        """Returns the GPUs as text."""
        return ", ".join(self.gpus) if self.named else "any GPU"

    @property
    def words(self) -> str:
        """Returns model and ctx as text."""
        return f"{self.model} at ctx {self.ctx}"


def scope(model: str, ctx: str, gpu: str, recorded_gpus: Collection[str], recorded_models: Collection[str]) -> Scope:
    """Returns the scope that the texts of options or parameters name; `auto` is the default model and ctx, and every
    GPU.

    Raises UnknownName for a GPU or model that neither the catalogue nor a record has, BadValue for a ctx out of range
    or a GPU without a name.
    """
    gpus = [*dict.fromkeys((*catalogue.gpus(), *sorted(recorded_gpus)))]
    models = [*dict.fromkeys((*catalogue.models(), *sorted(recorded_models)))]
    named = checked_name("model", MODEL if model == AUTO else model, models)
    chosen = gpus if gpu == AUTO else [checked_name("gpu", name, gpus) for name in _listed(gpu)]
    return Scope(named, _ctx(CTX if ctx == AUTO else ctx, named), tuple(dict.fromkeys(chosen)), gpu != AUTO)


def _listed(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise BadValue(f"--gpu {text!r}: a name is missing: write names with single commas between them: l4,h100")
    return names


def _ctx(text: str, model: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise BadValue(f"--ctx {text!r}: a whole number of at least 1 is needed")
    known = catalogue.models().get(model)
    if known is not None and int(text) > known.shape.max_positions:
        raise BadValue(f"--ctx {text}: {model} has at most {known.shape.max_positions} positions")
    return int(text)


def most_measured(places: Sequence[tuple[str, int, int]]) -> tuple[str, int] | None:
    """Returns the model and ctx with the most sessions, from (model, ctx, sessions)."""
    counts: dict[tuple[str, int], int] = {}
    for model, ctx, sessions in places:
        counts[model, ctx] = counts.get((model, ctx), 0) + sessions
    return max(counts, key=lambda place: counts[place], default=None)
