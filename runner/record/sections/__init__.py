"""The sections of a record as frozen dataclasses: names, types, units and limits of their fields.

A field's docstring is its description in docs/record.schema.json. Nothing here reads, writes, computes, or imports
anything of the project but `runner.cell`.
"""
