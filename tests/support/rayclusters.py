"""A Ray cluster on this machine's loopback: a head that takes no sessions, and nodes with made-up accelerators."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT

STORE_BYTES = 80 * 2**20  # the least that Ray accepts
SMALL = {"num_cpus": 0, "object_store_memory": STORE_BYTES}
LIGHT = str(ROOT / "tests" / "ray_nodes")
"""Folder for the PYTHONPATH of every process that imports Ray."""


@dataclass
class RayCluster:
    """A running cluster. Its nodes share this host, so each has a lock of its own."""

    cluster: Any
    folder: Path
    nodes: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def name(self, number: int) -> str:
        """Returns what distinguishes a node in messages."""
        return str(self.nodes[number].node_id)[:8]

    def add_node(self, *accelerators: str, **changes: Any) -> None:
        """Starts a node that takes sessions, with a made-up GPU for each accelerator type."""
        resources = {"decode_floor": 1, **{f"accelerator_type:{name}": 1 for name in accelerators}}
        variables = {
            # the project is not here: it travels from the driver
            "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "small_cache"), LIGHT)),
            "DECODE_FLOOR_LOCK_DIR": str(self.folder / f"lock{len(self.nodes)}"),
            "DECODE_FLOOR_ENGINE": "none",
            "OMP_NUM_THREADS": "1",
            **({} if os.geteuid() == 0 else {"RAY_worker_niceness": "0"}),  # only root can take Ray's priority back
        }
        settings = {"num_gpus": len(accelerators), "resources": resources, "env_vars": variables, **SMALL, **changes}
        before = signal.getsignal(signal.SIGTERM)
        try:
            self.nodes.append(self.cluster.add_node(**settings))
        finally:
            signal.signal(signal.SIGTERM, before)  # Ray handles it in the process that starts a node

    def kill_node(self, number: int) -> None:
        """Kills the processes of a node, as a power failure would."""
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)


@contextmanager
def started(nodes: Sequence[Sequence[str]], **head: Any) -> Iterator[RayCluster]:
    """A cluster with a node for each list of accelerator types."""
    from ray.cluster_utils import Cluster

    # Ray's sockets have paths of at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="df-ray-", dir="/tmp"))
    before = dict(os.environ)
    # Ray notes the newest cluster's address there, for `auto`: in a folder that it expects to exist
    os.environ["RAY_TMPDIR"] = str(folder)
    (folder / "ray").mkdir()
    try:
        settings = {"include_dashboard": False, "temp_dir": str(folder), "env_vars": {"PYTHONPATH": LIGHT}}
        cluster = Cluster(initialize_head=True, head_node_args={**SMALL, **settings, **head})
        found = RayCluster(cluster, folder)
        try:
            for accelerators in nodes:
                found.add_node(*accelerators)
            yield found
        finally:
            cluster.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)
