"""The machine: facts of the host and its GPUs, and the lock that allows one session at a time.

Everything that queries hardware or the system belongs here. Nothing here imports a store, the worker or a plan.
"""
