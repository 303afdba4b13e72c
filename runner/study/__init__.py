"""Studies: many cells, or A/Bs of cells, declared in one YAML file.

Reading a study file and expanding its matrix belong here. Nothing here starts a session or imports a store.
"""
