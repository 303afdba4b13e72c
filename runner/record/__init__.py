"""The record of a session: its file, its schema, its derived numbers, and the verdict.

Computations on a record alone belong here. Nothing here imports torch or MLflow, or starts a process.
"""
