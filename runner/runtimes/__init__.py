"""Runtimes, one module each: how a decode step is executed."""
