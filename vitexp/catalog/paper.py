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
class ScaledModel:
    """A row of Table 6: one model pre-trained on JFT-300M for some epochs.

    Attributes:
        name: as printed.
        model: what the model is called here.
        family: vit, resnet or hybrid.
        epochs: of pre-training.
        exaflops: pre-training compute in 10^18 FLOPs, as printed.
        average: top-1 after transfer, averaged over ImageNet, CIFAR-10, CIFAR-100, Pets and
            Flowers as in Figure 5, as a share.
        remark: what is known to be wrong with it, or nothing.
    """

    name: str
    model: str
    family: str
    epochs: int
    exaflops: float
    average: float
    remark: str


JFT_IMAGES = 303_000_000
"""Images of JFT-300M (section 4.1)."""

_SLIPS = {("R50x1+ViT-L/16", 7): "the paper's slip: not half of its own row of 14 epochs"}


@functools.cache
def table6() -> tuple[ScaledModel, ...]:
    """The paper's scaling study, in the order of its table."""
    return tuple(
        ScaledModel(
            name=row["name"],
            model=row["name"].lower().replace("resnet", "r"),
            family=row["family"],
            epochs=int(row["epochs"]),
            exaflops=float(row["exaflops"]),
            average=float(row["avg5_derived(ImageNet,C10,C100,Pets,Flowers)"]) / 100,
            remark=_SLIPS.get((row["name"], int(row["epochs"])), ""),
        )
        for row in _rows("table6_scaling.csv")
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("vitexp.catalog") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
