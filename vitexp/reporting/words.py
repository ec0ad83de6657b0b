"""Numbers and settings in the words that all studies' reports share."""

from __future__ import annotations

import shlex

from vitexp.amounts import count
from vitexp.registry import is_reference
from vitexp.reporting.described import images_words
from vitexp.settings.flags import Settings, asked, said
from vitexp.spec import ResNetShape, RunSpec, ViTShape

FAMILIES = {"vit": "ViT", "resnet": "ResNet", "hybrid": "hybrid"}
_POSITIONS = {"learned_1d": "1-D", "learned_2d": "2-D"}


def kind_label(kind: str) -> str:
    """What a table calls a kind of position; for ``file.py:Name`` the name."""
    return _POSITIONS.get(kind, kind.rpartition(":")[2])


def decimals(images: int) -> int:
    """Decimals of a percentage that a test set of this size can bear."""
    return 1 if images < 20_000 else 2


def percent(share: float, places: int = 1) -> str:
    """0.968 -> ``"96.8"``."""
    return f"{100 * share:.{places}f}"


def points(share: float, places: int = 1) -> str:
    """A difference: 0.0282 -> ``"+2.8"``."""
    return f"{100 * share:+.{places}f}".replace("-", "−")


def span(low: float, high: float, places: int = 1) -> str:
    """An interval of differences: ``"[−0.4, 2.2]"``."""
    ends = (f"{100 * end:.{places}f}".replace("-", "−") for end in (low, high))
    return f"[{', '.join(ends)}]"


def sentence(words: str) -> str:
    """``words`` with a full stop, and with a capital unless it begins with a name."""
    named = not words.split()[0].strip(",:").isalpha()
    return f"{words}." if named else f"{words[0].upper()}{words[1:]}."


def effect(value: float | None, low: float | None, high: float | None) -> str:
    """A claim's effect with its interval, in its own unit; ``""`` where there is none."""
    if value is None:
        return ""
    ends = ", ".join("open" if end is None else f"{end:.3g}" for end in (low, high))
    return f"{value:.3g} [{ends}]".replace("-", "−")


def times(ratio: float) -> str:
    """A ratio: 4.069 -> ``"4.1"``."""
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def p_value(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p {p:.2g}" if p < 0.995 else "p 1"


def data_words(spec: RunSpec) -> str:
    """The data of a run, in one line."""
    data, model = spec.data, spec.model
    colours = "grey" if model.channels == 1 else "RGB"
    part = "" if data.fraction is None else f" ({percent(data.fraction)} % of the training split)"
    return (
        f"{data.name}, {model.image_size}×{model.image_size} {colours}; {images_words(data, part)}"
    )


def model_words(spec: RunSpec, params: float | None = None, of: str = "") -> str:
    """The model of a run without its position, in one line; ``of`` says what has ``params``."""
    model = spec.model
    name = f"{model.name}: " if model.name else ""
    size = "" if params is None else f"; {params:,.0f} parameters{of}"
    parts = [words for words in (_trunk_words(model.trunk), _vit_words(model.vit)) if words]
    if is_reference(model.family):
        # What the user's file makes of these sizes is not known.
        parts = [model.family]
    return f"{name}{', '.join(parts)}{size}"


def _vit_words(vit: ViTShape | None) -> str:
    if vit is None:
        return ""
    pool = "class token" if vit.pool == "token" else "mean pooling"
    return (
        f"patch {vit.patch}, width {vit.width}, depth {vit.depth}, heads {vit.heads},"
        f" MLP {vit.mlp}, {pool}"
    )


def _trunk_words(trunk: ResNetShape | None) -> str:
    if trunk is None:
        return ""
    blocks = "-".join(map(str, trunk.blocks)) or "no"
    kind = "basic blocks" if trunk.block else "blocks"
    return f"ResNet of {blocks} {kind}, first width {trunk.width}, {trunk.stem} stem"


def recipe_words(spec: RunSpec) -> str:
    """The recipe of a run, in one line; what is switched off is left out."""
    r = spec.recipe
    name = f"{r.name}: " if r.name else ""
    parts = [
        f"{r.optimizer}, learning rate {r.lr:g}, weight decay {r.weight_decay:g}",
        f"{count(r.steps, 'step')} of {count(r.batch, 'image')}, warm-up {r.warmup},"
        f" then {r.schedule}",
    ]
    options = {
        "clip": r.clip,
        "dropout": r.dropout,
        "label smoothing": r.label_smoothing,
        "stochastic depth": r.stochastic_depth,
        "resized crop": r.resized_crop,
        "mixup": r.mixup,
        "cutmix": r.cutmix,
        "weights averaged with": r.averaging,
    }
    parts += [f"{option} {value:g}" for option, value in options.items() if value]
    parts += [option for option, on in (("crop", r.crop), ("flip", r.flip)) if on]
    return f"{name}{', '.join(parts)}; {spec.precision}"


def with_flag(flags: str, flag: str, *value: str) -> str:
    """``flags``, as they are written, with one that stands there once, with this value; without
    a value, without it."""
    settings, others = said(flags)
    given = asked(Settings(**settings), settings.get("dataset", "digits"))
    kept = {name: values for name, values in others.items() if name != flag}
    if value:
        kept[flag] = list(value)
    own = shlex.join(word for name in kept for word in (name, *kept[name]))
    return f"{given} {own}".rstrip()
