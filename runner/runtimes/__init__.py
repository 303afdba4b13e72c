"""Runtimes, one module each: how a decode step is executed.

A module without `_` is an entry of the registry. torch and the worker are imported inside its functions only.
"""
