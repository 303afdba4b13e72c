"""A fleet as the place where a command measures the sessions of its studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runner.errors import BadPair
from runner.fleet import cluster, fleetseries
from runner.fleet.cluster import Cluster
from runner.fleet.dispatch import Dispatch
from runner.fleet.fleetseries import FleetSeries
from runner.fleet.nodes import Nodes
from runner.fleet.orders import Terms
from runner.launch.series import Ended, OnSession, TimeLimit
from runner.launch.session import Settings
from runner.record import codekey
from runner.study.prepared import Prepared
from runner.study.site import Here, Site
from runner.study.standing import WAITING, Standing

NONE = "none"


class Fleet:
    """The nodes of a cluster that take sessions."""

    def __init__(self, found: Cluster) -> None:
        self._cluster = found
        self.machines = Nodes(found.offered())

    def notes(self, found: Prepared) -> Iterator[str]:
        reasons = (each.reason for each in found.standings if each.status == WAITING)
        yield from (reason for reason in dict.fromkeys(reasons) if reason is not None)

    def missing_series(self, found: Prepared, settings: Settings) -> Iterator[tuple[FleetSeries, Standing]]:
        return fleetseries.missing_series(found, settings)

    def measure_all(
        self,
        series: Sequence[FleetSeries],
        limit: TimeLimit,
        on_session: OnSession,
        settings: Settings,
        interleaved: bool,
    ) -> Ended:
        """Measures the series. Raises BadPair if they must take turns: several nodes measure at the same time."""
        if interleaved:
            raise BadPair("order: interleaved needs one machine: measure this study there, without --fleet")
        terms = Terms(codekey.tree_key(), settings.share_host, settings.timeout_s)
        return Dispatch(self._cluster, terms, limit, on_session, settings.display).run(series)


@contextmanager
def site(address: str) -> Iterator[Site]:
    """Yields the place where sessions are measured: this machine for `none`, or the fleet at an address.

    Raises BadValue for an address of another form, MissingPackage without Ray, NoFleet if none answers or takes
    sessions.
    """
    if address == NONE:
        yield Here()
        return
    with cluster.connected(address) as found:
        yield Fleet(found)
