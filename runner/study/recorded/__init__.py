"""Sessions that a spool has records of, and whether they are of today's code and environment.

Everything is read, and nothing measured. Hidden files of the spool save time and may be removed.
"""
