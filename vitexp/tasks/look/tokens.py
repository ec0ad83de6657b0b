"""Where the class token's information comes from, by layer."""

from __future__ import annotations

from collections.abc import Sequence

from vitexp.errors import VitexpError
from vitexp.tasks.look.heads import Measure
from vitexp.tasks.look.opened import Looked


def tokens(several: Sequence[Looked]) -> Measure:
    """The share of what the class token reads that it reads from patches, in percent.

    Raises:
        VitexpError: one of them has no class token.
    """
    from vitexp.evaluation.attention import from_patches, uniform_from_patches

    for looked in several:
        if looked.spec.transformer.pool != "token":
            raise VitexpError(
                f"{looked.name} has no class token: it is pooled by the mean of its patches.",
                "Choose runs or files with --pool token.",
            )
    return Measure(
        "tokens",
        "from_patches",
        "What the class token reads from the patches",
        "attention on patches (%)",
        "What is left of 100 % the class token reads from itself.",
        from_patches,
        uniform_from_patches,
    )
