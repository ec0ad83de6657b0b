"""A worker process: reads runs from standard input, trains them, tells how it goes."""
