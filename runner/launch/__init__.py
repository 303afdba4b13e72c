"""One session in one fresh process, local or in a container. Every session leaves a record, whatever happens.

Starting, watching and ending a worker belong here. Nothing here imports the worker, torch or MLflow.
"""
