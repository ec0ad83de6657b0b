"""Which Vision Transformer to train, answered with numbers one can trust."""

__version__ = "0.1.0"
