"""A model card in the hub's format: front matter for programs, then words for people.

The front matter is YAML, of which JSON is a part: each of its values is written as JSON, so that no
name can break out of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vitexp.amounts import count
from vitexp.analysis.groups import Group
from vitexp.catalog.datasets import HUB_SETS
from vitexp.catalog.sizes import called
from vitexp.errors import printable
from vitexp.render.markdown import escaped
from vitexp.reporting.described import homeless, images_words, position_words
from vitexp.reporting.words import model_words, percent, recipe_words, span
from vitexp.runs.record import RunRecord
from vitexp.spec import FromFile, FromRun, RunSpec, flat, to_json

_LOADED = """    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained("path/to/this/folder")
    logits = model(images).logits"""
_OURS = """    vitexp weights show path/to/this/folder
    vitexp finetune --from path/to/this/folder --dataset path/to/images"""
_METRICS = {"test_top1": "top-1", "test_top5": "top-5"}


def card(record: RunRecord, cell: Group, license: str, misfit: str | None) -> str:
    """The README.md of a finished run's weights.

    Args:
        cell: all runs that differ from it in nothing but the seed, itself among them.
        license: as the hub spells it.
        misfit: why ``transformers`` cannot load it; None where it can.
    """
    spec = record.spec
    parts = [
        _front_matter(record, license, misfit),
        f"# {_plain(called(spec.model))}, {_plain(position_words(spec.model) or 'no positions')}, "
        f"trained on {_plain(spec.data.name)}",
        "An image classifier trained with vitexp, run `" + spec.id + "`.",
        *("## Results", _results(record, cell)),
        *("## How to load it", _loading(spec, misfit)),
        *("## Data", _data(spec)),
        *("## Recipe", *_recipe(record)),
        *("## Licence", _licence(license)),
    ]
    return printable(homeless("\n\n".join(parts))) + "\n"


def _front_matter(record: RunRecord, license: str, misfit: str | None) -> str:
    data = record.spec.data
    hub = HUB_SETS[data.source].hub if data.source in HUB_SETS else None
    metrics = [
        {"type": "accuracy", "name": name, "value": round(record.metrics[key], 6)}
        for key, name in _METRICS.items()
    ]
    name = printable(data.name)
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": hub or name, "name": name, "split": "test"},
        "metrics": metrics,
    }
    known: dict[str, Any] = {
        "license": license,
        "library_name": "vitexp" if misfit else "transformers",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "vitexp", record.spec.model.family.rpartition(":")[2]],
        **({"datasets": [hub]} if hub else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": called(record.spec.model), "results": [result]}],
    }
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in known.items())
    return "\n".join(["---", *lines, "---"])


def _results(record: RunRecord, cell: Group) -> str:
    images = record.images
    columns = ("metric", "these weights", f"mean of {len(cell.done)} seeds", "95 % over seeds")
    rows = [
        (name, percent(record.metrics[key]), *_over_seeds(cell, key))
        for key, name in _METRICS.items()
    ]
    both = cell.over_images_too()
    notes = [
        f"In per cent, of {count(images, 'test image')}.",
        f"Top-1 over seeds and test images together: {span(*both)}, at 95 %." if both else
        "Of one seed there is no interval: another seed may do better or worse.",
        f"Always the most common class: {percent(record.metrics['test_majority'])} %."
        if "test_majority" in record.metrics else "",
        f"{count(cell.diverged, 'seed')} diverged and left out." if cell.diverged else "",
    ]  # fmt: skip
    return _table(columns, rows) + "\n\n" + " ".join(filter(None, notes))


def _over_seeds(cell: Group, key: str) -> tuple[str, str]:
    found = cell.metric(key)
    assert found.mean is not None
    if found.low is None or found.high is None:
        return percent(found.mean), "-"
    return percent(found.mean), span(found.low, found.high)


def _loading(spec: RunSpec, misfit: str | None) -> str:
    channels = "grey" if spec.model.channels == 1 else "RGB"
    images = (
        f"Images are {channels}, {spec.model.image_size} px square, scaled to [-1, 1]; "
        f"a class is a number from 0 to {spec.model.classes - 1}, in the data set's order."
    )
    if misfit is None:
        return f"{_LOADED}\n\n{images}"
    return (
        f"There is no `config.json`: {_plain(misfit)}, which the classes of `transformers` cannot "
        f"express. vitexp loads it:\n\n{_OURS}\n\n{images}"
    )


def _data(spec: RunSpec) -> str:
    data = spec.data
    drawn = f" ({100 * data.fraction:g} % of them used)" if data.fraction else ""
    fold = f" These weights were tested on fold {data.fold.index + 1}." if data.fold else ""
    about = f"{_plain(data.name)}, {data.image_size} px: {images_words(data, drawn)}.{fold}"
    return "\n".join([about, *(f"\n- {_plain(remark)}" for remark in data.remarks)])


def _recipe(record: RunRecord) -> Iterable[str]:
    spec, how = record.spec, record.execution
    words = model_words(spec, record.metrics.get("params")), recipe_words(spec)
    yield f"{'. '.join(map(_plain, words))}."
    if isinstance(spec.init, FromRun):
        yield f"It went on from the weights of run `{spec.init.run}`."
    if isinstance(spec.init, FromFile):
        yield f"It went on from weights in a file (SHA-256 `{spec.init.sha256}`)."
    settings = {**_settings(to_json(spec.recipe)), "seed": spec.seed, "precision": spec.precision}
    yield _table(("setting", "value"), settings.items())
    names = ("vitexp", "commit", "torch", "python", "system", "device", "device_name", "threads")
    if known := [(name, how[name]) for name in names if how.get(name) is not None]:
        yield _table(("computed with", ""), known)


def _settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flat(recipe).items() if value not in (None, "", False)}


def _licence(license: str) -> str:
    if license == "unknown":
        return "None was chosen. What the training images allow is not known either."
    return f"{_plain(license)}. What the training images allow is for whoever uses them to check."


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head, *body = [[_plain(str(cell)) for cell in row] for row in (columns, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def _plain(text: str) -> str:
    """``text`` with nothing in it that is markup, code spans neither."""
    return escaped(text.replace("`", "'"))
