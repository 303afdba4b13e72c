"""One session in one fresh process, here or in a container, and a record whatever becomes of it.

Starting, watching and ending a worker belong here. Nothing here imports the worker, torch or MLflow.
"""
