"""From a request to a plan: the typed request, every `auto` resolved, and whether the cell fits.

Decisions taken before a process starts belong here. Nothing here imports torch, MLflow or the worker.
"""
