"""The worker: a program of its own that reads one job, measures one cell and writes one record.

Code that needs torch belongs here. Nothing here imports MLflow, Click, a plan or the launching parent.
"""
