"""Figures of the tables' rows, one module each; all have the look of `style`."""
