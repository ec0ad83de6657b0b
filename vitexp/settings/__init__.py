"""From flags to a run: the only room that knows a flag."""
