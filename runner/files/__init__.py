"""Files that others wrote, read so that all that can be wrong with them is one line; and folders that do not stay.

Reading plain files, JSON and YAML belongs here. Nothing here imports another room but errors and failures.
"""
