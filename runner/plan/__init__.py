"""From a request to a plan: what was typed, every `auto` resolved, and whether the cell can fit.

Decisions that are taken before a process starts belong here. Nothing here imports torch, MLflow or the worker.
"""
