"""How much memory training a model takes, estimated before any is asked for."""

from __future__ import annotations

from vitexp.catalog import sizes
from vitexp.errors import VitexpError
from vitexp.models import count, count_resnet
from vitexp.spec import ModelSpec

_FLOAT = 4
SLACK = 3
"""Above what a process was measured to take, over the estimate: 1.3 to 2.6 times."""
_COPIES = 4
"""Of each parameter: itself, its gradient and AdamW's two moments."""


def training_bytes(spec: ModelSpec, batch: int, recompute: bool = False) -> int | None:
    """Bytes of parameters, gradients, moments and what the backward pass reads, about.

    An estimate from below: float32 throughout, and no room for the libraries' own buffers.
    None for a model or a signal from the user's own file.

    Args:
        recompute: whether only what the blocks read is kept for the backward pass.
    """
    params = count.params(spec)
    if params is None:
        return None
    standardised = count_resnet.params(spec.trunk, spec.channels) if spec.trunk else 0
    return _FLOAT * (_COPIES * params + standardised + batch * _activations(spec, recompute))


def micro_batch(spec: ModelSpec, batch: int, available: int, recompute: bool) -> int:
    """``batch``, halved until it can be trained on at once within ``available`` bytes."""
    while batch > 1 and SLACK * (training_bytes(spec, batch, recompute) or 0) > available:
        batch = halved(batch)
    return batch


def halved(batch: int) -> int:
    """The larger half."""
    return -(-batch // 2)


def _activations(spec: ModelSpec, recompute: bool) -> int:
    """Values an image that the backward pass reads again."""
    values = 0
    if spec.trunk:
        units = list(count_resnet.units(spec.trunk, spec.channels, spec.image_size))
        each = [sum(map(_around, unit)) for unit in units]
        read = sum(unit[0].inputs * unit[0].side ** 2 for unit in units)
        values += read + 2 * max(each) if recompute else sum(each)
    if spec.vit:
        tokens, vit = count.tokens(spec) or 0, spec.vit
        # Both norms' inputs and outputs, q, k, v, the mixed values; the MLP before and after GELU.
        block = tokens * (8 * vit.width + 2 * vit.mlp) + vit.heads * tokens * tokens
        kept = vit.depth * tokens * vit.width + 2 * block
        # A pool that reads one token leaves it alone to the last block's MLP.
        unread = 2 * tokens * vit.mlp if vit.pool == "token" else 0
        values += kept if recompute else vit.depth * block - unread
    return values


def _around(conv: count_resnet.Conv) -> int:
    """Values of a convolution's output and of its norm's."""
    return 2 * conv.outputs * count_resnet.reach(conv.side, conv.stride) ** 2


def check_fits(
    spec: ModelSpec, jobs: int, available: int | None, device: str, recompute: bool = False
) -> None:
    """Refuses a model that cannot be trained on a device even one image at a time.

    Args:
        jobs: how many such models train there at the same time.
        available: bytes that the device has for them; None where that is not known.
        device: what to call it.
        recompute: as for :func:`training_bytes`.

    Raises:
        VitexpError: with the memory that it takes and the largest listed model that fits.
    """
    need = training_bytes(spec, 1, recompute)
    if need is None or available is None or jobs * need <= available:
        return
    times = f"{jobs} times " if jobs > 1 else ""
    raise VitexpError(
        f"Training {spec.name} takes at least {times}{need / 1e9:.1f} GB, and {device} has"
        f" {available / 1e9:.1f} GB.",
        _what_fits(spec, jobs, available),
    )


def _what_fits(spec: ModelSpec, jobs: int, available: int) -> str:
    if jobs > 1 and (training_bytes(spec, batch=1) or 0) <= available:
        return "It fits with --jobs 1."
    fitting = [
        (need, other.name)
        for other in sizes.listed()
        if other.family == spec.family
        and (need := jobs * (training_bytes(other, batch=1) or 0)) <= available
    ]
    return f"The largest that fits: --model {max(fitting)[1]}." if fitting else "Nothing fits."
