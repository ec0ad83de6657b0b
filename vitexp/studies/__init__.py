"""Studies: a file here is one research question, its stem is its name for ``vitexp ablate``."""

from __future__ import annotations

from vitexp.registry import Registry

STUDIES = Registry(
    "study",
    {
        "pos_emb": "vitexp.studies.pos_emb.study:PosEmb",
        "data_size": "vitexp.studies.data_size.study:DataSize",
        "compute": "vitexp.studies.compute.study:Compute",
        "shape": "vitexp.studies.shape.study:Shape",
        "patch": "vitexp.studies.patch:Patch",
        "pool": "vitexp.studies.pool:Pool",
        "optimizer": "vitexp.studies.optimizer:Optimizer",
        "finetune": "vitexp.studies.finetune.study:FineTune",
        "resolution": "vitexp.studies.resolution.study:Resolution",
        "pretrain": "vitexp.studies.pretrain.study:Pretrain",
        "bias": "vitexp.studies.bias.study:Bias",
    },
    aliases={
        **{"scale": "data_size", "datasize": "data_size"},
        **{"positions": "pos_emb", "position": "pos_emb", "posemb": "pos_emb"},
    },
    dashed=True,
)
