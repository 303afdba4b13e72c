"""The machine: facts of the host, its GPUs, and the lock that keeps it to one session.

Whatever asks the hardware or the system what it is belongs here. Nothing here imports a store, the worker or a plan.
"""
