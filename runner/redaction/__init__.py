"""Removal of private text: credentials, private paths, names of machines and people.

Everything that leaves the machine in a record, a tag or a message passes here. This package imports only the host's
facts.
"""
