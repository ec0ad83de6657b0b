"""``vitexp weights``: other people's checkpoints in, one's own out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out
from vitexp.cli.options import Weights, copy_of
from vitexp.cli.whole import Whole
from vitexp.errors import VitexpError

if TYPE_CHECKING:
    from torch import Tensor

    from vitexp.models.weights.files import Reach
    from vitexp.models.weights.sources import Source
    from vitexp.spec import ModelSpec

weights = typer.Typer(
    help="Look into checkpoints and convert them.", no_args_is_help=True, cls=Whole
)

Model = Annotated[
    str | None, typer.Option(help="the model that a file holds, such as vit-b/16@384")
]


@weights.command()
def show(
    file: Annotated[Path, typer.Argument(help="a file of weights, a folder or an index of shards")],
    model: Model = None,
    copy: Weights = None,
    json: Json = False,
) -> None:
    """Show a checkpoint's layout and tensors and, with --model, whether it fits.

    What no name and no shape tells, such as the number of heads, is listed as assumed.
    """
    from vitexp.cli import screen
    from vitexp.models.weights.files import has_head
    from vitexp.models.weights.layouts import assumed, layout_of

    source, spec = _opened(file, model, copy)
    layout = layout_of(source)
    value: dict[str, Any] = {"file": str(source.path), "layout": layout}
    if spec is not None:
        value |= {"model": spec.name, "channels": spec.channels}
        value["classes"] = spec.classes if has_head(spec, source) else None
        value["pre_logits"] = spec.vit and spec.vit.pre_logits
        value["assumed"] = list(assumed(spec, layout)) if model else []
    if json:
        return screen.emit(value | {"tensors": source.shapes})
    value["assumed"] = "; ".join(value.get("assumed", ())) or None
    screen.table(("field", "value"), [(k, str(item)) for k, item in value.items() if item])
    rows = [(name, "x".join(map(str, shape))) for name, shape in source.shapes.items()]
    screen.table(("tensor", "shape"), rows, right=("shape",))


@weights.command()
def export(
    source: Annotated[str, typer.Argument(help="a run's id, or a checkpoint file (--model)")],
    file: Annotated[
        Path, typer.Argument(help="to write: FILE.npz or FILE.safetensors; with --card a folder")
    ],
    to: Annotated[
        str | None,
        typer.Option(help="timm, hf, hf5, npz or vitexp [as FILE says: x.hf.safetensors]"),
    ] = None,
    model: Model = None,
    copy: Weights = None,
    card: Annotated[
        bool, typer.Option("--card", help="of a run: a folder for the hub, with a model card")
    ] = False,
    license: Annotated[
        str, typer.Option(help="with --card: the weights' licence, such as mit or cc-by-4.0")
    ] = "unknown",
    out: Out = Path("."),
) -> None:
    """Write a run's or a file's weights under the names of another program.

    npz is the official code's form, the others are safetensors files; hf5 has the names that
    Hugging Face's models have in memory since transformers 5. With --card the folder holds
    model.safetensors, README.md with data, recipe and results, and config.json where transformers
    can load the model.
    """
    from vitexp.cli import screen
    from vitexp.models.weights.files import exported, write
    from vitexp.runs.weights_file import names_file

    from_file = names_file(source)
    if card:
        if from_file or to:
            raise VitexpError(
                "--card is about a run, whose data, recipe and results are known, and says the "
                "names of the weights itself.",
                "Give a run's id, without --to.",
            )
        return _folder(source, file, license, out)
    layout = _layout(file, to)
    spec, state = _of_file(Path(source), model, copy) if from_file else _of_run(source, out)
    write(exported(state, spec, layout), layout, file, spec)
    screen.say(f"Wrote {file}: {spec.name}, {spec.classes} classes, names as in {layout}.")


def _folder(run: str, folder: Path, license: str, out: Path) -> None:
    """Write a folder for the hub."""
    from vitexp.cli import screen
    from vitexp.tasks.card import write_folder

    spec, state = _of_run(run, out)
    misfit = write_folder(run, state, folder, license, out)
    how = "as transformers loads it" if misfit is None else f"without config.json: {misfit}"
    screen.say(f"Wrote {folder}: {spec.name}, {spec.classes} classes, {how}.")


def _layout(file: Path, to: str | None) -> str:
    """The layout that is asked for, or else that a file's name says: x.npz, x.timm.safetensors.

    Raises:
        VitexpError: an unknown layout, one that is none of such a file, or a name that says none.
    """
    from vitexp.models.weights import LAYOUTS

    said = "npz" if file.suffix == ".npz" else Path(file.stem).suffix[1:]
    if to is None and said not in LAYOUTS:
        raise VitexpError(
            f"{file} does not say whose names the weights are to have.",
            f"Say it: --to {', '.join(LAYOUTS)}; or in the name: {file.stem}.timm.safetensors.",
        )
    layout = LAYOUTS.canonical(to or said)
    ending = ".npz" if layout == "npz" else ".safetensors"
    if file.suffix in {".npz", ".safetensors"} - {ending}:
        raise VitexpError(
            f"{file} is no name for weights as {layout} has them.",
            f"Let it end in {ending}, or choose another --to.",
        )
    return layout


def _opened(file: Path, named: str | None, copy: str | None) -> tuple[Source, ModelSpec | None]:
    """The weights in a file, and their model where it is named or the file says it.

    Raises:
        VitexpError: the file does not hold that model.
    """
    from vitexp.catalog import sizes
    from vitexp.cli import screen
    from vitexp.models.check import model_of_file, open_file
    from vitexp.models.weights.files import has_head
    from vitexp.models.weights.header import model_in

    source = open_file(file, copy_of(copy), screen.say)
    said = model_in(source.path)
    if said is None and named is None:
        return source, None
    model = said or sizes.at_usual_side(named or "")
    reach: Reach = "all" if has_head(model, source) else "features"
    return source, model_of_file(model, source, reach)


def _of_file(
    file: Path, model: str | None, copy: str | None
) -> tuple[ModelSpec, dict[str, Tensor]]:
    from vitexp.models.build import build
    from vitexp.models.weights.files import load_weights

    source, spec = _opened(file, model, copy)
    if spec is None:
        raise VitexpError(f"Which model is in {file}?", "Say it: --model vit-b/16@384.")
    built = build(spec, seed=0)
    load_weights(built, spec, source.path, copy=source.copy)
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
