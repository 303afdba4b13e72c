"""The record of a session: its file, the schema, what follows from raw values, and the verdict.

Whatever is computed from a record alone belongs here. Nothing here imports torch, MLflow, or starts a process.
"""
