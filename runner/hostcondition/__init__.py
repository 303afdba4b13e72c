"""Declared conditions of the host under which a session runs: fewer processors, or neighbours that compute.

The parent checks a condition, and the worker brings it about and observes it. Nothing here imports torch.
"""
