"""Files from outside the project, whose errors are one line; and temporary folders.

Reading plain files, JSON and YAML belongs here. Nothing here imports another package but errors and failures.
"""
