"""What a browser may do with the page: run its own scripts alone, and ask nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable


def policy(scripts: Iterable[str]) -> str:
    """A content security policy for a page with these scripts in it, each by its hash.

    Styles are not hashed: the library adds some as it draws. They can name no address that would
    be asked, since images are data and everything else is nothing.
    """
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    parts = (
        "default-src 'none'",
        f"script-src {hashes}",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(parts)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
