"""Sessions in containers: which image a cell needs, what an engine says of it, and a worker that runs in one.

Whatever talks to Docker or Podman belongs here. Nothing here imports the worker, torch or MLflow.
"""
