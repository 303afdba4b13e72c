"""Processes and signals: parents and children, servers of a command, and Ctrl-C as an error of the family.

Both command lines and the worker use it. Besides errors, this package imports only the hash of `cell` and the host's
facts.
"""
