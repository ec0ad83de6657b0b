"""From flags to a run: the only package that knows a flag."""
