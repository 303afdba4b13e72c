"""A/B: two cells that differ in one requested field, measured in turns over fresh sessions."""
