"""Processes and signals: who started whom, what ends with whom, and Ctrl-C as an error of the family.

Both command lines and the worker use it. Beside errors this room imports the hash of
`cell` and the host's facts alone.
"""
