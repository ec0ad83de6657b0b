"""``python -m vitexp`` is the program ``vitexp``."""

from vitexp.cli.main import main

if __name__ == "__main__":
    main()
