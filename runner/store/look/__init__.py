"""The look at a store before anything is measured: what would keep it from taking the record, without MLflow.

One module for each kind of store and of fault. Nothing here writes into a store.
"""
