"""A card's energy over a pretended clock: what it takes, what its counter shows of that, and its power.

The counter behaves as NVML's: it shows the energy of the last of its updates, which come at a fixed interval, in whole
steps of its resolution. A reading takes the host a little while, and the card idles meanwhile.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from tests.fakes.pynvml_fake import FIRST, Card, Driver, use

IDLE_W, STEP_W = 100.0, 500.0
STEP_S, RESTART_S, READING_S = 0.004, 0.001, 0.0001


class Meter:
    def __init__(self, interval_s: float = 0.02, resolution_mj: int = 10, **card: Any) -> None:
        self.now_s, self.taken_j = 7_000.0, 123_456.0
        self.interval_s, self.resolution_mj = interval_s, resolution_mj
        self.card = Card(FIRST, energy_mj=self.read, **card)
        self._shown_mj = 0
        self._update()

    def install(self, monkeypatch: Any, *modules: Any, without: tuple[str, ...] = ()) -> Driver:
        """Takes the place of NVML, and of the clock of these modules."""
        for module in modules:
            monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: self.now_s, sleep=self.idle))
        return use(monkeypatch, Driver(cards=[self.card]), without)

    def spend(self, seconds: float, watts: float) -> None:
        """Lets time pass, up to each update of the counter in turn."""
        end_s = self.now_s + seconds
        while (update_s := (math.floor(self.now_s / self.interval_s + 1e-9) + 1) * self.interval_s) <= end_s:
            self.taken_j += (update_s - self.now_s) * watts
            self.now_s = update_s
            self._update()
        self.taken_j += (end_s - self.now_s) * watts
        self.now_s = end_s
        self.card.power_mw = round(watts * 1000)

    def idle(self, seconds: float) -> None:
        self.spend(seconds, IDLE_W)

    def read(self) -> int:
        self.idle(READING_S)
        return self._shown_mj

    def _update(self) -> None:
        self._shown_mj = int(self.taken_j * 1000 / self.resolution_mj) * self.resolution_mj


class MeteredStep:
    """A step that takes time and energy; it notes where it restarts. Its token is the position, or that of `wrong`."""

    def __init__(self, meter: Meter, wrong: dict[int, int] | None = None) -> None:
        self.meter, self.wrong = meter, wrong or {}
        self.position, self.calls = 0, 0
        self.restarts: list[int] = []
        self.poisoned: list[int] = []

    def restart(self, position: int) -> None:
        self.meter.idle(RESTART_S)
        self.position = position
        self.restarts.append(position)

    def poison(self, position: int) -> None:
        self.poisoned.append(position)

    def __call__(self) -> MeteredStep:
        self.meter.spend(STEP_S, STEP_W)
        self.position += 1
        self.calls += 1
        return self

    def item(self) -> int:
        return self.wrong.get(self.calls, self.position - 1)
