"""The doctor: what a measurement here would meet, found before anything is installed or measured.

It answers on the standard library of Python 3.9 or later; what needs the environment's packages is in `inside` and the
modules that it imports. Nothing here imports torch, MLflow or the worker.
"""
