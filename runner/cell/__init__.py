"""The cell, its protocol, and the bytes and floor of its step.

Words, shapes, the catalogue and byte accounting belong here. From the runner, this package imports only `files`,
errors, and formats through the registry.
"""
