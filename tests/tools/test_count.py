"""Lines of code: what counts, and where it stands."""

from __future__ import annotations

from tools.count import by_part, code_lines, main, part_of

SOURCE = '''"""A docstring
of two lines."""

import os  # counts

# A comment.
LIMIT = 3
"""What is said of it."""


def f(
    x: int,
) -> str:
    """Says it."""

    return """text

    of three lines"""
'''


def test_comments_docstrings_and_blank_lines_do_not_count():
    assert code_lines(SOURCE) == 1 + 1 + 3 + 3
    assert code_lines("") == code_lines('"""Only this."""\n') == 0


def test_parts_are_those_of_the_package_and_add_up():
    assert part_of("vitexp/runs/store.py") == "vitexp/runs"
    assert part_of("vitexp/errors.py") == "vitexp/errors"
    assert part_of("tests/runs/test_store.py") == "tests"
    counts = by_part(None)
    parts = {part: lines for part, lines in counts.items() if part.startswith("vitexp/")}
    assert counts["vitexp"] == sum(parts.values())
    assert parts["vitexp/runs"] > 100


def test_it_is_printed(capsys):
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["here"]
    assert any(line.startswith("vitexp/training ") for line in lines)
