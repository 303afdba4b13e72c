"""The report: all tables and figures of a source as one page, with where each number comes from."""
