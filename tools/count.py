"""Lines of code by package, at one commit or several: ``python -m tools.count ae1bada HEAD``.

A line counts if a token of code is on it: no blank lines, no comments, no docstrings (also those of
attributes). Without a commit the files of the working tree are counted. Each part of ``vitexp/`` is
listed; the rest is by top folder.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "vitexp"
ROOT = Path(__file__).parents[1]
_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """How many lines of a Python file hold code."""
    silent = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - silent)


def part_of(path: str) -> str:
    """``vitexp/runs/store.py`` -> ``vitexp/runs``; ``tests/conftest.py`` -> ``tests``."""
    parts = path.split("/")
    return "/".join(parts[:2]).removesuffix(".py") if parts[0] == PACKAGE else parts[0]


def sources(commit: str | None) -> Iterator[tuple[str, str]]:
    """Path and text of every Python file of a commit; None is the working tree."""
    git = ["git", "-C", str(ROOT)]
    if commit is None:
        listed = [*git, "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
        for path in subprocess.run(
            listed, capture_output=True, text=True, check=True
        ).stdout.split():
            if (ROOT / path).is_file():
                yield path, (ROOT / path).read_text(encoding="utf-8")
        return
    archive = subprocess.run([*git, "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        for member in tree:
            file = tree.extractfile(member)
            if file is not None and member.name.endswith(".py"):
                yield member.name, file.read().decode()


def by_part(commit: str | None) -> Counter[str]:
    """Part -> lines of code; all parts of the package together are under its name."""
    counts: Counter[str] = Counter()
    for path, text in sources(commit):
        lines = code_lines(text)
        counts[part_of(path)] += lines
        if path.startswith(f"{PACKAGE}/"):
            counts[PACKAGE] += lines
    return counts


def main(commits: list[str]) -> None:
    columns = [by_part(commit) for commit in commits] if commits else [by_part(None)]
    names = commits or ["here"]
    print(f"{'':24}" + "".join(f"{name[:11]:>12}" for name in names))
    for part in sorted(set().union(*columns)):
        print(f"{part:24}" + "".join(f"{counts[part]:12,}" for counts in columns))


if __name__ == "__main__":
    main(sys.argv[1:])
