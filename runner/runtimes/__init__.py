"""Runtimes, one module each: ways to execute a decode step.

A module without `_` is an entry of the registry. torch and the worker are imported inside its functions only.
"""
