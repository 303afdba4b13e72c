"""Sessions in containers: the image that a cell needs, the engine's answers about it, and a worker that runs in one.

Everything that calls Docker or Podman belongs here. Nothing here imports the worker, torch or MLflow.
"""
