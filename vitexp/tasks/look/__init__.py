"""What goes on inside trained transformers, as figures with their numbers: a kind a file."""
