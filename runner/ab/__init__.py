"""A/B comparisons of two cells that differ in one requested field, measured alternately in fresh sessions.

The package has the arms, the blocks, the manifest and its check. Only `measure` starts sessions. No module imports a
store.
"""
