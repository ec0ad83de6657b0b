"""``vitexp weights``: other people's checkpoints in, one's own out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.errors import VitexpError

if TYPE_CHECKING:
    from torch import Tensor

    from vitexp.spec import ModelSpec

weights = typer.Typer(help="Look into checkpoints and convert them.", no_args_is_help=True)

Model = Annotated[
    str | None, typer.Option(help="the model that a file holds, such as vit-b/16@384")
]


@weights.command()
def show(
    file: Annotated[Path, typer.Argument(help="a .npz, .safetensors or torch file")],
    model: Model = None,
    json: Json = False,
) -> None:
    """Show a checkpoint's layout and tensors and, with --model, whether it fits."""
    from vitexp.cli import screen
    from vitexp.models.weights.files import check, layout_of
    from vitexp.models.weights.sources import open_source

    source = open_source(file)
    value: dict[str, Any] = {"file": str(file), "layout": layout_of(source)}
    spec = _model(file, model)
    if spec is not None:
        check(spec, source)
        value |= {"model": spec.name, "classes": spec.classes, "channels": spec.channels}
        value["pre_logits"] = spec.vit and spec.vit.pre_logits
    if json:
        return screen.emit(value | {"tensors": source.shapes})
    screen.table(("field", "value"), [(key, str(item)) for key, item in value.items()])
    rows = [(name, "x".join(map(str, shape))) for name, shape in source.shapes.items()]
    screen.table(("tensor", "shape"), rows, right=("shape",))


@weights.command()
def export(
    source: Annotated[str, typer.Argument(help="a run's id, or a checkpoint file (--model)")],
    to: Annotated[str, typer.Option(help="timm, hf, hf5, npz or vitexp")],
    file: Annotated[Path, typer.Argument(help="the file to write")],
    model: Model = None,
    out: Out = Path("."),
) -> None:
    """Write a run's or a file's weights under the names of another program.

    npz is the official code's form, the others are safetensors files; hf5 has the names that
    Hugging Face's models have in memory since transformers 5.
    """
    from vitexp.cli import screen
    from vitexp.models.weights import LAYOUTS
    from vitexp.models.weights.files import exported, write

    layout = LAYOUTS.canonical(to)
    spec, state = _of_file(Path(source), model) if Path(source).is_file() else _of_run(source, out)
    write(exported(state, spec, layout), layout, file, spec)
    screen.say(f"Wrote {file}: {spec.name}, {spec.classes} classes, names as in {layout}.")


def _model(file: Path, named: str | None) -> ModelSpec | None:
    """The model in a file: what is named, with the file's head; else what the file says."""
    from vitexp.catalog import sizes
    from vitexp.models.weights.files import fitted
    from vitexp.models.weights.header import model_in

    return model_in(file) if named is None else fitted(sizes.at_usual_side(named), file)


def _of_file(file: Path, model: str | None) -> tuple[ModelSpec, dict[str, Tensor]]:
    from vitexp.models.build import build
    from vitexp.models.weights.files import load_weights

    spec = _model(file, model)
    if spec is None:
        raise VitexpError(f"Which model is in {file}?", "Say it: --model vit-b/16@384.")
    built = build(spec, seed=0)
    load_weights(built, spec, file)
    return spec, built.state_dict()


def _of_run(start: str, out: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    from vitexp.models.weights.sources import open_source
    from vitexp.runs.store import Store

    store = Store(out)
    entry = store.find(start)
    model = entry.readable().model
    path = store.folder(entry.id) / "weights.safetensors"
    if not path.exists():
        raise VitexpError(
            f"Run {entry.id} has no weights: it is {entry.state}, or ran with --no-keep.",
            "Run it again with --keep, after `vitexp runs rm`.",
        )
    source = open_source(path)
    return model, {name: source.read(name) for name in source.shapes}
