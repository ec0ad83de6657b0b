"""Studies: a file here is one research question, its stem is its name for ``vitexp ablate``."""

from __future__ import annotations

from vitexp.registry import Registry

STUDIES = Registry(
    "study",
    {
        "pos_emb": "vitexp.studies.pos_emb:PosEmb",
        "data_size": "vitexp.studies.data_size:DataSize",
        "compute": "vitexp.studies.compute:Compute",
        "shape": "vitexp.studies.shape:Shape",
        "patch": "vitexp.studies.patch:Patch",
        "pool": "vitexp.studies.pool:Pool",
        "optimizer": "vitexp.studies.optimizer:Optimizer",
        "finetune": "vitexp.studies.finetune:FineTune",
        "resolution": "vitexp.studies.resolution:Resolution",
        "pretrain": "vitexp.studies.pretrain:Pretrain",
    },
    aliases={"scale": "data_size"},
    dashed=True,
)
