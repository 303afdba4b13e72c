"""The flags: marks of a valid but suspect result, each with its name, meaning and origin.

`python -m runner.record.flags` prints the list of docs/flags.md. A run's page shows a session's flags with their
meanings. Tables show the flags of a row's sessions and of the row itself, and the report explains them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONVERTED, UNPINNED, OTHER_TREE = "converted", "unpinned", "other-tree"
UNTRIED_KERNEL = "untried-kernel"
SHARED_HOST, SHARED_CARD = "shared-host", "shared-card"
DISTURBED, PASSES_DISAGREE = "disturbed", "passes-disagree"
HOST_CONDITION = "host-condition"
SAMPLED_POWER, ENERGY_DISAGREES = "power-samples", "energy-disagrees"
GATE_1 = "gate-1"
MIXED_HOST, WIDE_RANGE = "mixed-host", "wide-range"
OTHER_HOST, OTHER_ENV = "other-host", "other-env"

BEFORE = "before the measurement"
MEASURED = "from the measured record"
READING = "when a record of an older version is read"
ROW = "on a row of a table"


@dataclass(frozen=True)
class Flag:
    """A flag. `meaning` is the text for readers. `set_when` is one of BEFORE, MEASURED, READING and ROW. If `given` is
    true, a record may list the flag as known before the measurement."""

    name: str
    meaning: str
    set_when: str
    given: bool = False


FLAGS = (
    Flag(CONVERTED, "the checkpoint stores its weights in another dtype than the cell's", BEFORE, given=True),
    Flag(
        DISTURBED,
        "other processes used a quarter of the host's cores or more while steps were timed: the row's medians "
        "exclude the session, unless all of its sessions are disturbed",
        MEASURED,
    ),
    Flag("drifting", "the last third of the steps differs from the first by more than 5 %", MEASURED),
    Flag("driver-allocations", "memory was allocated from the driver inside a timed window", MEASURED),
    Flag(
        ENERGY_DISAGREES,
        "its steps took over 5 % more or less time while energy was measured than in the timed pass: its joules are of "
        "another step",
        MEASURED,
    ),
    Flag(
        GATE_1,
        "judged by the first version of the gate, which did not check every timed step: measure it again",
        READING,
    ),
    Flag("host-busy", "other processes used more than half a core while steps were timed", MEASURED),
    Flag(
        HOST_CONDITION,
        "measured under a declared condition of the host (`host_condition`: pinned, or beside busy processes): it is "
        "in no table of steps",
        MEASURED,
    ),
    Flag("imprecise", "an error exceeds its dtype's bound, but not the bound of this kernel or engine", MEASURED),
    Flag("in-cache", "the weights fit in the last-level cache, so memory bandwidth is not the limit", MEASURED),
    Flag(MIXED_HOST, "the sessions of the row come from several hosts", ROW),
    Flag(OTHER_ENV, "the unquantised baseline ran with other versions of packages that both use", ROW),
    Flag(OTHER_HOST, "no unquantised session ran on the row's hosts, so no saving is estimated", ROW),
    Flag(OTHER_TREE, "the container's image was built from other code than the runner's", BEFORE, given=True),
    Flag(
        PASSES_DISAGREE,
        "passes over the same context lengths differ by more than 10 %: they do not show which cause limits the step",
        MEASURED,
    ),
    Flag(SAMPLED_POWER, "its joules are from samples of power, because the card has no energy counter", MEASURED),
    Flag("probe-low", "the step is faster than the bandwidth probe allows: the probe's result is too low", MEASURED),
    Flag(SHARED_CARD, "another process was on the card", MEASURED, given=True),
    Flag(SHARED_HOST, "another session was measured on this host at the same time", BEFORE, given=True),
    Flag("throttled", "the card reported a throttle reason", MEASURED),
    Flag(UNPINNED, "the checkpoint's revision is not pinned in the catalogue", BEFORE, given=True),
    Flag(
        UNTRIED_KERNEL,
        "this project's own kernel, on an architecture of which no session with it is committed yet",
        BEFORE,
        given=True,
    ),
    Flag(WIDE_RANGE, "the slowest session took at least three times as long as the fastest", ROW),
)
"""All flags, in alphabetical order."""

GIVEN_FLAGS = tuple(flag.name for flag in FLAGS if flag.given)
"""Flags that a record may list as known before its measurement."""
FLAG_MEANINGS = {flag.name: flag.meaning for flag in FLAGS}


def markdown() -> str:
    """Returns the list of all flags as a Markdown table: name, meaning, and when it is set."""
    return "\n".join(["| flag | meaning | set |", "|---|---|---|", *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    for flag in FLAGS:
        also = f", and {BEFORE}" if flag.given and flag.set_when != BEFORE else ""
        yield f"| `{flag.name}` | {flag.meaning} | {flag.set_when}{also} |"


if __name__ == "__main__":
    print(markdown(), end="")
