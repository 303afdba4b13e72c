"""The report: all tables and figures of a source on one page, with the origin of each number.

Layout, provenance and the answers belong here. Numbers come from `tables`.
"""
