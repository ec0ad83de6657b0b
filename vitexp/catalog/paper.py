"""What the paper says (arXiv 2010.11929v2): its numbers and its claims, each with its source."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PaperClaim:
    """A sentence of the paper that a study can test.

    Attributes:
        id: short name, for instance ``"PE1"``.
        sentence: what the paper says.
        source: section, table or figure.
        value: the numbers that the paper gives for it.
    """

    id: str
    sentence: str
    source: str
    value: str


@functools.cache
def claims() -> dict[str, PaperClaim]:
    """Every claim, by id."""
    return {
        row["id"]: PaperClaim(row["id"], row["claim"], row["source"], row["paper_value"])
        for row in _rows("claims.csv")
    }


@functools.cache
def table8() -> dict[tuple[str, str | None], float]:
    """(position, placement) -> 5-shot linear ImageNet top-1 of ViT-B/16 as a share (Table 8).

    The placement of ``relative`` is None: the paper does not say where its tables live.
    """
    return {
        (row["position"], row["placement"] or None): float(row["imagenet_5shot_linear_top1"])
        for row in _rows("pos_emb_table8.csv")
    }


@dataclass(frozen=True)
class ScalingRow:
    """A row of Table 6.

    Attributes:
        name: as printed.
        model: what the model is called here.
        epochs: on JFT-300M.
        exaflops: of pre-training, as printed.
        remark: what is known to be wrong with it, or nothing.
    """

    name: str
    model: str
    epochs: int
    exaflops: float
    remark: str


JFT_IMAGES = 303_000_000
"""Images of JFT-300M (section 4.1)."""

_SLIPS = {("R50x1+ViT-L/16", 7): "the paper's slip: not half of its own row of 14 epochs"}


@functools.cache
def table6() -> tuple[ScalingRow, ...]:
    """The compute study behind Figure 5."""
    return tuple(
        ScalingRow(
            name=row["name"],
            model=row["name"].lower().replace("resnet", "r"),
            epochs=int(row["epochs"]),
            exaflops=float(row["exaflops"]),
            remark=_SLIPS.get((row["name"], int(row["epochs"])), ""),
        )
        for row in _rows("table6_scaling.csv")
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("vitexp.catalog") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
