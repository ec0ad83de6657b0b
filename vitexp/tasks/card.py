"""A finished run as a folder for the hub: weights, what loads them, and a model card."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vitexp.analysis.groups import Group
from vitexp.errors import VitexpError
from vitexp.render.card import card
from vitexp.runs.files import disk
from vitexp.runs.folds import whole
from vitexp.runs.record import RunRecord
from vitexp.runs.store import Store
from vitexp.spec import RunSpec

if TYPE_CHECKING:
    from torch import Tensor


def write_folder(
    run: str, state: Mapping[str, Tensor], folder: Path, license: str, out: Path
) -> str | None:
    """Writes a run's weights, its card and, where it can be, a ``config.json``; whole or not.

    Args:
        run: its id, or the first digits.
        state: its weights.
        license: as the hub spells it.

    Returns:
        Why there is no ``config.json``; None where there is one.

    Raises:
        VitexpError: the folder exists already or cannot be written.
    """
    from vitexp.models.weights import hub
    from vitexp.models.weights.files import exported, write

    if folder.exists():
        raise VitexpError(f"{folder} exists already.", "Remove it, or choose another name.")
    store = Store(out)
    record = store.result(store.find(run).id)
    spec, misfit = record.spec.model, hub.misfit(record.spec.model)
    temporary = folder.with_name(f".tmp-{secrets.token_hex(6)}-{folder.name}")
    try:
        with disk(folder):
            temporary.mkdir(parents=True)
            if misfit is None:
                text = json.dumps(hub.config(spec), indent=2) + "\n"
                (temporary / "config.json").write_text(text)
            layout = "hf" if misfit is None else "vitexp"
            tensors = exported(state, spec, layout) if misfit else hub.tensors(state, spec)
            write(tensors, layout, temporary / "model.safetensors", spec)
            text = card(record, _cell(store, record), license, misfit)
            (temporary / "README.md").write_text(text, encoding="utf-8")
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return misfit


def _cell(store: Store, record: RunRecord) -> Group:
    """The runs that differ from one in nothing but the seed; where it is a fold, whole seeds."""

    def key(spec: RunSpec) -> str:
        return spec.seeded(0).folds[0].id

    of = key(record.spec)
    several = whole(other for other in store.results() if key(other.spec) == of)
    return Group(several or [record])
