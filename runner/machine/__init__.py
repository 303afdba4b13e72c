"""The machine under the runner: its facts and what must not be published of them, its GPUs, its processes and signals,
and the lock that keeps it to one session."""
