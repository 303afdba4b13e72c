"""Reading of study files: keys, fields and values, the matrix with its exclusions and inclusions, and a JSON Schema.

Each error names file, line and key. Nothing here looks at this machine or its records.
"""
