"""The flags of a session and their meanings: it is right, but something about it is suspect."""

from __future__ import annotations

from runner.record.judgement import DISTURBED, PASSES_DISAGREE

GATE_1 = "gate-1"
FLAG_MEANINGS = {
    "converted": "the checkpoint stores its weights in another dtype than the cell's",
    "driver-allocations": "memory was taken from the driver inside a timed window",
    DISTURBED: "others kept a quarter of the host's cores busy while steps were timed: left out of its row's medians",
    "drifting": "the last third of the steps differs from the first by more than 5 %",
    GATE_1: "judged by the first version of the gate, which did not check every timed step: to be measured again",
    "host-busy": "other processes used more than half a core while steps were timed",
    "imprecise": "an error beyond its dtype's, within what is committed for this kernel or engine",
    "in-cache": "the weights fit in the last-level cache, so memory bandwidth is not the limit",
    PASSES_DISAGREE: "passes over the same context lengths differ by more than 10 %: no cause can be told from them",
    "probe-low": "faster than the bandwidth probe says is possible: the probe read too low",
    "shared-card": "another process was on the card",
    "other-tree": "the container's image was built from other code than the runner's",
    "shared-host": "another session was measured on this host at the same time",
    "throttled": "the card named a throttle reason",
    "unpinned": "the checkpoint's revision is not pinned in the catalogue",
}
