"""Tables: each makes rows of a frame, and words of its rows."""
