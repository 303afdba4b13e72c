"""Records: the file a session leaves, the structure it must have, and the spool it lies in."""
