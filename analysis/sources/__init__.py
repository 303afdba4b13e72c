"""Sources of sessions: record files or an MLflow store.

The same sessions give the same frame from either source. Nothing here computes a statistic.
"""
