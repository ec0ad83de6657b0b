"""``vitexp power``: what seeds and test images will find, before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out, with_reading
from vitexp.spec import Reading

if TYPE_CHECKING:
    from vitexp.analysis.power import Power


@with_reading
def power(
    reading: Reading,
    dataset: Annotated[str, typer.Option(help="as --dataset of train")] = "digits",
    effect: Annotated[
        float, typer.Option(help="the difference of two settings, in points of top-1")
    ] = 1.0,
    among: Annotated[
        int, typer.Option(help="how many differences are decided together", min=1)
    ] = 9,
    images: Annotated[
        int | None, typer.Option(help="number of test images [the data set's]", min=2)
    ] = None,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """How many seeds and test images a difference needs to be found, before running anything.

    Its variances are those of the runs in --out on that data set; where there are none, those
    measured on the data sets of a catalogue.
    """
    from vitexp.analysis.power import Power
    from vitexp.cli import live, screen
    from vitexp.datasets.load import describe
    from vitexp.errors import VitexpError
    from vitexp.runs.store import Store
    from vitexp.tasks.power import seen

    if not 0 < effect <= 100:
        raise VitexpError(
            f"--effect is {effect:g}, and a difference is between 0 and 100 points.",
            "Give the least difference that would matter to you, such as 1.",
        )
    with live.counting(screen.stderr()) as progress:
        data, _ = describe(dataset, reading=reading, progress=progress)
    found = seen(out, Store(out).results(), data.name, effect / 100)
    able = Power(found.variances, among)
    value = _value(able, effect / 100, images or data.test)
    value = {"data": data.name, "variances": found.where, "pairs": found.pairs, **value}
    if json:
        return screen.emit(value)
    _show(value)


def _value(able: Power, effect: float, images: int) -> dict[str, Any]:
    from vitexp.analysis.decide import LOOKS

    return {
        "effect": round(100 * effect, 6),
        "among": able.among,
        "test_images": images,
        "looks": [
            {
                "seeds": n,
                "smallest": round(100 * able.smallest(n, images), 2),
                "chance": round(able.chance(effect, n, images), 3),
                "images": able.images(effect, n),
            }
            for n in LOOKS
        ],
    }


def _show(value: dict[str, Any]) -> None:
    from vitexp.analysis.power import CHANCE
    from vitexp.cli import screen

    size, likely = value["effect"], f"{100 * CHANCE:.0f} %"
    effect = f"{size:g} point{'' if size == 1 else 's'}"
    lines = (
        f"data       {value['data']}: {value['test_images']:,} test images",
        f"variances  {value['variances']}",
        f"verdicts   {value['among']} differences decided together, found with {likely} chance",
    )
    screen.stdout().print("\n".join(lines))
    columns = ("seeds", "finds", f"chance of {effect}", f"test images for {effect}")
    screen.table(
        columns,
        [
            (
                str(look["seeds"]),
                f"{look['smallest']:.1f} points",
                f"{100 * look['chance']:.0f} %",
                "no number" if look["images"] is None else f"{look['images']:,}",
            )
            for look in value["looks"]
        ],
        right=columns,
    )
    screen.stdout().print(_answer(value, effect))
    finds = [look["smallest"] for look in value["looks"]]
    if finds != sorted(finds, reverse=True):
        screen.stdout().print(
            "More seeds find less here: a later look may be wrong less often than the first, and"
            " these test images, not the seeds, limit what is found."
        )


def _answer(value: dict[str, Any], effect: str) -> str:
    from vitexp.analysis.power import CHANCE

    able = [look["seeds"] for look in value["looks"] if look["chance"] >= CHANCE]
    if able:
        return f"{able[0]} seeds find {effect}."
    enough = [look for look in value["looks"] if look["images"]]
    none = f"No number of seeds up to the last look finds {effect} on these test images"
    if not enough:
        return f"{none}, nor on more."
    return f"{none}; {enough[-1]['seeds']} seeds do on {enough[-1]['images']:,}."
