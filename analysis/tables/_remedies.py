"""Sentences of the gap budget: the largest term of a step and what would remove it, or why none is named."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.group import Group
from analysis.tables._clocks import (
    ACHIEVED,
    FIRST_VISIT,
    FLOOR,
    GAPS,
    HOST,
    KERNELS,
    KERNELS_AND_GAPS,
    LIMIT,
    REST,
    Term,
    cuts_of,
    is_attributed,
    uncertainty,
)
from runner import registry
from runner.declarations import RuntimeDeclaration
from runner.record.flags import PASSES_DISAGREE

UNCAPTURED = "none"
"""The graph mode of a step that is launched kernel by kernel."""
ONE_GRAPH = "one CUDA graph a step ({how})"
FEWER_KERNELS = "fewer kernels, by fusing them, or launching each before the last has ended"
WORDS = {
    ACHIEVED: ("bandwidth that even a plain read does not reach here", *("nothing that software can do",) * 2),
    KERNELS: (
        "kernels that take longer than reading their bytes would",
        *("products and attention nearer to the memory's speed, and fusing what lies between them",) * 2,
    ),
    GAPS: ("device idle between kernels", ONE_GRAPH, FEWER_KERNELS),
    KERNELS_AND_GAPS: ("kernels and the gaps between them, which overlap and are one term", ONE_GRAPH, FEWER_KERNELS),
    HOST: (
        "the host, reading the token back and synchronising",
        f"{ONE_GRAPH}, or a faster host",
        "a loop that stays on the device",
    ),
    FIRST_VISIT: (
        "what a context length costs when the process meets it for the first time",
        *("a static cache (cache=static), which has one length{flash}",) * 2,
    ),
    REST: ("all that is not reading the bytes", *("a CPU has no clock that would tell more",) * 2),
}
"""Term → what it is, what removes it from a step that is launched kernel by kernel, and from another; `how` a runtime
gets its step into a graph, `flash` the other remedy where attention has a backend to choose."""
FLASH = "sdpa:flash"
OR_FLASH = f", or `--options {FLASH}` where cuDNN is the attention's backend"
UNMEASURED = (
    "kernels and the gaps between them, one term because the time in which kernels ran was not measured",
    *("not to be told before that is",) * 2,
)
"""The same for kernels and gaps where nothing is known of an overlap."""


def largest(group: Group, terms: Sequence[Term]) -> Term | None:
    """Returns the largest term beyond the floor; None where the step is not attributed, or another is too near to it
    for these passes."""
    first, *others = by_size(terms)
    margin = (uncertainty(group) or 0.0) * group.wall_ms
    too_near = any(first.ms - other.ms <= margin for other in others)
    return None if not is_attributed(group) or not first.ms or too_near else first


def by_size(terms: Sequence[Term]) -> list[Term]:
    """Returns the terms beyond the floor, the largest first."""
    return sorted((term for term in terms if term.name != FLOOR), key=lambda term: -term.ms)


def sentence(group: Group, terms: Sequence[Term], named: Term | None) -> str:
    """Returns what the largest term is and what would remove it, or why none is named."""
    if not is_attributed(group):
        return f"attribution is not possible: {_why_not(group)}"
    if named is None:
        return _undecided(group, by_size(terms))
    is_unmeasured = named.name == KERNELS_AND_GAPS and group.step_busy_ms is None
    what, of_uncaptured, of_other = UNMEASURED if is_unmeasured else WORDS[named.name]
    remedy = of_uncaptured if graph_mode(group) == UNCAPTURED else of_other
    remedy = remedy.format(how=_how_captured(group), flash=_or_flash(group))
    return f"{_share(group, named)} is {what}; what would remove it: {remedy}"


def _share(group: Group, term: Term) -> str:
    return f"{term.ms:.2f} of {group.wall_ms:.2f} ms ({term.ms / group.wall_ms:.0%})"


def _why_not(group: Group) -> str:
    """Returns the passes that disagree, or the clock that was cut by more than the limit."""
    if (apart := uncertainty(group) or 0.0) > LIMIT:
        return f"the passes over the same lengths lie {apart:.0%} of a step apart (more than {LIMIT:.0%})"
    if PASSES_DISAGREE in group.flags:
        return f"the passes of a session over the same lengths lie more than {LIMIT:.0%} of a step apart"
    cut = max(cuts_of(group), key=lambda clock: clock.cut_ms)
    return f"the clock of {cut.name} says {cut.uncut_ms:.2f} ms, the one above it {cut.ms:.2f} ms"


def _undecided(group: Group, terms: Sequence[Term]) -> str:
    if not terms[0].ms:
        return "nothing of the step lies beyond its floor"
    near = [term for term in terms if terms[0].ms - term.ms <= (uncertainty(group) or 0.0) * group.wall_ms]
    told = " and ".join(f"`{term.name}` {term.ms:.2f}" for term in near)
    apart = f"passes {uncertainty(group) or 0.0:.1%} apart cannot order them"
    return f"{told} of {group.wall_ms:.2f} ms are the largest; {apart}"


def _or_flash(group: Group) -> str:
    declared = _declared(group)
    has_choice = declared is not None and "sdpa" in declared.options and "sdpa:" not in group.options
    return OR_FLASH if has_choice else ""


def graph_mode(group: Group) -> str | None:
    """Returns how the step was launched; None for a runtime that this version does not know.

    The mode that a record holds is its runtime's with its options: `runner verify` and `import` let no other pass.
    """
    declared = _declared(group)
    options = (option.partition(":") for option in group.options.split(",") if option)
    return None if declared is None else declared.graph_mode_with({name: value for name, _, value in options})


def _declared(group: Group) -> RuntimeDeclaration | None:
    known = group.runtime in registry.runtime_names()
    return registry.runtime(group.runtime).DECLARATION if known else None


def _how_captured(group: Group) -> str:
    """Returns what captures an uncaptured step and leaves it its kernels."""
    declared = _declared(group)
    return "mode:reduce-overhead" if declared is not None and declared.compiles else "runtime=graph"
