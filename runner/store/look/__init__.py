"""Checks before measuring that a store can take the record, without MLflow.

One module per kind of store and per kind of fault. No module writes into a store.
"""
