"""Takes out of a text what must not be published: credentials, private paths, names of machines and people.

Everything that leaves the machine in a record, a tag or a message passes here. This room imports the
host's facts alone.
"""
