"""The worker: a program of its own that reads one job, measures one cell and writes one record. No MLflow, no Click."""
