"""The report: all tables and figures of a source as one page, with where each number comes from.

Layout, provenance and the answers belong here. Numbers are made by `tables`, never here.
"""
