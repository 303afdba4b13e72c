"""Tables: each makes rows of a frame, and words of its rows.

One module a table. Nothing here reads files or stores, or draws.
"""
