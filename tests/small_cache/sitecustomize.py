"""Every Python that finds this folder on its path takes the host's last-level cache to be 2 MiB: a worker's bandwidth
probe reads 16 times as much, which on a virtual machine that shows its host's whole cache takes longer than the session
that a test is about."""

from runner.machine import host

host.last_level_cache_bytes = lambda: 2 * 2**20
