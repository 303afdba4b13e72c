"""A/B: two cells that differ in one requested field, measured in turns over fresh sessions.

Arms, blocks, the manifest and its check belong here. Only `measure` starts sessions; nothing here imports a store.
"""
