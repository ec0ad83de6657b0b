"""An answer as data, and the words for it."""
