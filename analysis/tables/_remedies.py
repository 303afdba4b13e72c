"""Sentences of the gap budget: the largest term of a step and its remedy, or why no term is named."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.group import Group
from analysis.percent import percent
from analysis.protocoltitles import is_tail
from analysis.tables._clocks import (
    ACHIEVED,
    FLOOR,
    GAPS,
    HOST,
    KERNELS,
    KERNELS_AND_GAPS,
    LIMIT,
    NEW_LENGTH,
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
"""The graph mode of a step whose kernels are launched one by one."""
ONE_GRAPH = "one CUDA graph per step ({how})"
FEWER_KERNELS = "fewer kernels by fusion, or programmatic launch of each kernel before the previous one ends"
WORDS = {
    ACHIEVED: ("bandwidth that even a plain read does not reach on this device", *("none in software",) * 2),
    KERNELS: (
        "kernel time beyond the time to read the bytes",
        *("products and attention closer to the memory bandwidth, and fusion of the kernels between them",) * 2,
    ),
    GAPS: ("idle time of the device between kernels", ONE_GRAPH, FEWER_KERNELS),
    KERNELS_AND_GAPS: ("kernels and the gaps between them, one term because kernels overlap", ONE_GRAPH, FEWER_KERNELS),
    HOST: (
        "host time to read the token back and synchronise",
        f"{ONE_GRAPH}, or a faster host",
        "a decode loop that stays on the device",
    ),
    NEW_LENGTH: (
        "the extra cost of a context length that the process has not processed before",
        *("a static cache (cache=static), which has a single length{flash}",) * 2,
    ),
    REST: ("all time beyond reading the bytes", *("unknown, because only the wall clock exists on a CPU",) * 2),
}
"""Description of each term, its remedy for an uncaptured step, and its remedy for another step.

`how` is the way to capture the step in a graph, `flash` the remedy for attention with a choice of backends.
"""
FLASH = "sdpa:flash"
OR_FLASH = f", or `python -m runner cell --options {FLASH}` if cuDNN is the attention backend"
UNMEASURED = (
    "kernels and the gaps between them, one term because the busy time of kernels was not measured",
    *("unknown until it is measured",) * 2,
)
"""The same for kernels and gaps if it is unknown whether kernels overlap."""


def largest(group: Group, terms: Sequence[Term]) -> Term | None:
    """Returns the largest term beyond the floor.

    Returns None if the step is not attributed, or if the disagreement of the passes cannot rank the largest terms.
    """
    first, *rest = by_size(terms)
    margin = (uncertainty(group) or 0.0) * group.wall_ms
    too_near = any(first.ms - term.ms <= margin for term in rest)
    return None if not is_attributed(group) or not first.ms or too_near else first


def by_size(terms: Sequence[Term]) -> list[Term]:
    """Returns the terms beyond the floor, the largest first."""
    return sorted((term for term in terms if term.name != FLOOR), key=lambda term: -term.ms)


def sentence(group: Group, terms: Sequence[Term], named: Term | None) -> str:
    """Returns the largest term with its remedy, or why no term is named."""
    if not is_attributed(group):
        return f"attribution is not possible: {why_not(group)}"
    if named is None:
        return _undecided(group, by_size(terms))
    is_unmeasured = named.name == KERNELS_AND_GAPS and group.step_busy_ms is None
    description, uncaptured_remedy, other_remedy = UNMEASURED if is_unmeasured else WORDS[named.name]
    remedy = uncaptured_remedy if graph_mode(group) == UNCAPTURED else other_remedy
    remedy = remedy.format(how=_how_captured(group), flash=_or_flash(group))
    return f"{_share(group, named)} is {description}; remedy: {remedy}"


def _share(group: Group, term: Term) -> str:
    return f"{term.ms:.2f} of {group.wall_ms:.2f} ms ({percent(term.ms / group.wall_ms)})"


def why_not(group: Group) -> str:
    """Returns why a step is not attributed: passes over other lengths, passes that disagree, or a clock that was cut by
    more than the limit."""
    if is_tail(group.protocol):
        return "with a protocol for tails the wall pass has more steps than the other passes"
    if (apart := uncertainty(group) or 0.0) > LIMIT:
        return f"passes over the same lengths differ by {percent(apart)} of a step (more than {percent(LIMIT)})"
    if PASSES_DISAGREE in group.flags:
        return f"passes of a session over the same lengths differ by more than {percent(LIMIT)} of a step"
    cut = max(cuts_of(group), key=lambda clock: clock.cut_ms)
    return f"the clock {cut.name} is {cut.uncut_ms:.2f} ms, the one above it {cut.ms:.2f} ms"


def _undecided(group: Group, terms: Sequence[Term]) -> str:
    if not terms[0].ms:
        return "no part of the step lies beyond its floor"
    near_terms = [term for term in terms if terms[0].ms - term.ms <= (uncertainty(group) or 0.0) * group.wall_ms]
    nearest = " and ".join(f"`{term.name}` {term.ms:.2f}" for term in near_terms)
    apart = f"passes that differ by {percent(uncertainty(group) or 0.0, '.1%')} cannot rank them"
    return f"{nearest} of {group.wall_ms:.2f} ms are the largest terms; {apart}"


def _or_flash(group: Group) -> str:
    declared = _declared(group)
    has_choice = declared is not None and "sdpa" in declared.options and "sdpa:" not in group.options
    return OR_FLASH if has_choice else ""


def graph_mode(group: Group) -> str | None:
    """Returns how the step was launched, None for a runtime that this version does not know.

    The mode follows from the runtime and its options; `runner verify` and `import` reject records with another mode.
    """
    declared = _declared(group)
    options = (option.partition(":") for option in group.options.split(",") if option)
    return None if declared is None else declared.graph_mode_with({name: value for name, _, value in options})


def _declared(group: Group) -> RuntimeDeclaration | None:
    is_known = group.runtime in registry.runtime_names()
    return registry.runtime(group.runtime).DECLARATION if is_known else None


def _how_captured(group: Group) -> str:
    """Returns the setting that captures an uncaptured step with the same kernels."""
    declared = _declared(group)
    return "mode:reduce-overhead" if declared is not None and declared.compiles else "runtime=graph"
