"""The sections of a record as frozen dataclasses: names, types, units and limits of their fields.

A field's docstring is its description in docs/record.schema.json. Nothing here reads, writes or computes. From the
project, this package imports only `runner.cell`.
"""
