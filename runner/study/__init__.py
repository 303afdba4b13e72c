"""Studies: many cells, or A/Bs of cells, declared in one YAML file, and measured once.

`declaration` reads the file, `recorded` the records of the spool. The package plans the entries and tells which
sessions are missing. No module imports a store.
"""
