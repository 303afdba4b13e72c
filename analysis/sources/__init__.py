"""Sources of sessions: record files or an MLflow store.

Either way the same sessions give the same frame. Nothing here computes a statistic.
"""
