"""The entries of a study, resolved: for the devices of this machine, and for other GPUs by the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from runner.ab import arms
from runner.ab.arms import Pair
from runner.cell import catalogue
from runner.cell.vocabulary import AUTO
from runner.errors import BadCheckpoint, BadValue, DecodeFloorError, Infeasible
from runner.plan import absent, fit
from runner.plan.cards import Installed
from runner.plan.request import NONE, Request
from runner.plan.resolve import VARIED, resolve, varied
from runner.plan.sessionplan import Plan
from runner.study.declared import Entry, Study
from runner.study.machines import Machines


@dataclass(frozen=True)
class Planned:
    """A resolved entry: the plan of its cell, or those of arms a and b.

    `waits_for` names a GPU that no machine of the study has. `obstacle` says why a cell does not fit into its device's
    memory. `failure` says why the weights of a cell that could be measured cannot be read. Such a cell has no plans.
    Neither has one of an absent GPU whose memory the catalogue does not know, or with a device or weights that only its
    own machine may have.
    """

    entry: Entry
    gpu: str
    plans: tuple[Plan, ...]
    keys: tuple[str, ...]
    """cell_key of each plan"""
    pair: Pair | None = None
    waits_for: str | None = None
    obstacle: str | None = None
    failure: str | None = None

    @property
    def title(self) -> str:
        """Returns the cell in a few words; for an A/B its arms and what they share. A protocol with counts of its own
        is named, as a study may measure a cell with several."""
        if not self.plans:
            return " ".join(text for text in vars(self.entry.request).values() if text != AUTO)
        if self.pair is None:
            return self.plans[0].title
        a, b = (plan.cell for plan in self.plans)
        shared = " ".join((*(word for word in a.words if word in b.words), a.gpu, *self.plans[0].measured_as))
        field = self.pair.field
        return f"A/A {shared}" if field == NONE else f"A/B {self.pair.a.value}/{self.pair.b.value} {shared}"


def plan_study(study: Study, machines: Machines) -> tuple[Planned, ...]:
    """Returns the entries of a study, resolved for the machines that measure it.

    Raises the errors of `resolve` and of `arms.pair` with the entry's place in its file, and BadValue for two entries
    of the same cell.
    """
    planner = _Planner(machines)
    entries = tuple(map(planner.planned, study.entries))
    _check_distinct(entries)
    return entries


class _Planner:
    """Devices of the machines, and the cards of the catalogue that stand for absent ones."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._absent: dict[str, Installed] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}
        """other fields of a request than VARIED → plan"""

    def planned(self, entry: Entry) -> Planned:
        try:
            return self._planned(entry)
        except DecodeFloorError as error:
            raise type(error)(f"{entry.place}: {error}") from error

    def _planned(self, entry: Entry) -> Planned:
        request = entry.request
        present = self._machines.cards(entry)
        is_here = present is not None
        cards = self._absent_cards(request.gpu) if present is None else present
        waits_for = None if is_here else request.gpu
        unresolved = Planned(entry, request.gpu, (), (), waits_for=waits_for)
        if not is_here and not (cards and request.device == AUTO):
            return unresolved  # nothing is known here of another machine's devices
        try:
            pair = _pair(entry, cards)
            plans = (self._plan(request, cards),) if pair is None else tuple(arm.plan for arm in pair.arms)
        except BadCheckpoint as error:
            # another machine may have the weights
            return replace(unresolved, failure=f"{error.reason}: {error}") if is_here else unresolved
        keys = tuple(plan.cell.key for plan in plans)
        obstacle = next(filter(None, map(self._obstacle, plans)), None)
        return Planned(entry, plans[0].cell.gpu, plans, keys, pair, waits_for, obstacle)

    def _plan(self, request: Request, cards: Installed) -> Plan:
        fields = tuple(value for name, value in vars(request).items() if name not in VARIED)
        if fields in self._plans:
            return varied(self._plans[fields], request)
        plan = self._plans[fields] = resolve(request, cards)
        return plan

    def _absent_cards(self, gpu: str) -> Installed:
        """Returns the card of the catalogue that stands for an absent GPU, in a list, which may be empty."""
        if gpu not in self._absent:
            stand_in = absent.card(catalogue.gpus()[gpu])
            self._absent[gpu] = () if stand_in is None else (stand_in,)
        return self._absent[gpu]

    def _obstacle(self, plan: Plan) -> str | None:
        """Returns why the plan does not fit into the memory of its device, None if it does."""
        available_bytes = plan.memory_bytes or self._machines.memory_bytes()
        if available_bytes is None:
            return None
        try:
            fit.check(plan.cell, plan.model.shape, plan.scheme, plan.protocol, plan.device.kind, available_bytes)
        except Infeasible as error:
            return str(error)
        return None


def _pair(entry: Entry, cards: Installed) -> Pair | None:
    compared = entry.arms
    if compared is None:
        return None
    return arms.pair(entry.request, compared.field, compared.a, compared.b, cards)


def _check_distinct(entries: tuple[Planned, ...]) -> None:
    """Raises BadValue if two entries give the same cell, or A/Bs of the same cells."""
    places: dict[tuple[object, ...], Entry] = {}
    for planned in entries:
        identity = (*planned.keys, *_measured_as(planned.entry.request, planned.plans))
        if planned.plans and (first := places.setdefault(identity, planned.entry)) is not planned.entry:
            raise BadValue(f"{planned.entry.place}: gives {planned.title} again, like {first.place}: keep one of them")


def _measured_as(request: Request, plans: tuple[Plan, ...]) -> Iterator[object]:
    """Yields what distinguishes measurements of the same cell."""
    yield from ((plan.protocol, plan.seed, plan.energy, plan.host_condition) for plan in plans)
    yield from (request.where, request.stack, request.device)
