"""What must not change when the code is only put elsewhere: results and reports, as hashes.

    python tools/golden.py make STORE            # tiny runs of every study, 4 minutes
    python tools/golden.py show STORE [KEPT]     # a line for each run, table and figure

Show one store at two commits, and stores made at both, and compare the lines; the files behind
them stay in KEPT, to see what differs. Only the command
line is used, so the package may be laid out differently in between.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from vitexp.cli.main import main

MACHINE = "--steps 2 --precision fp32 --device cpu --jobs 2"
MADE = (
    "ablate pos-emb --seeds 3",
    "scale --models vit-xxs/4,vit-xxs/2,r8x0.5 --fractions 10%,100% --seeds 3",
    "ablate compute --seeds 1",
    *(f"ablate {study} --seeds 1" for study in ("shape", "patch", "pool", "optimizer")),
    "ablate resolution --seeds 1",
    "ablate pretrain --fractions 30%,100% --seeds 1",
    "train --model vit-xxs/2 --pool gap --gelu tanh --early-stopping --seeds 1",
)
STUDIES = (
    *("pos-emb", "data-size", "compute", "shape", "patch", "pool", "optimizer"),
    *("finetune", "resolution", "pretrain"),
)
TIMED = ("seconds", "per_s", "utilisation", "peak_memory")
"""Parts of the names of metrics that a clock measures."""


def said(*arguments: str) -> tuple[str, str]:
    """What a command prints, on the standard and on the error output."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.suppress(SystemExit),
    ):
        main(list(arguments))
    return out.getvalue(), err.getvalue()


def digest(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def runs(store: Path) -> Iterator[str]:
    """Each run's id, weights and results, without what differs from machine to machine."""
    for folder in sorted((store / "runs").iterdir()):
        result = json.loads((folder / "result.json").read_bytes())
        timed = [name for name in result["metrics"] if any(part in name for part in TIMED)]
        metrics = {name: result["metrics"][name] for name in result["metrics"].keys() - {*timed}}
        kept = [result["status"], metrics, result["correct"], result["curve"]]
        weights = folder / "weights.safetensors"
        yield f"run {folder.name} {digest(json.dumps(kept, sort_keys=True))}"
        if weights.exists():
            content = weights.read_bytes()
            header = int.from_bytes(content[:8], "little")
            tensors = json.loads(content[8 : 8 + header])
            tensors.pop("__metadata__", None)
            names = json.dumps(tensors, sort_keys=True).encode()
            yield f"weights {folder.name} {digest(names + content[8 + header :])}"


def reports(store: Path, kept: Path) -> Iterator[str]:
    """Each grid's table and figures, and the claims; what is printed and written stays in a
    folder for each, below ``kept``."""

    def shown(name: str, *commands: tuple[str, ...]) -> str:
        out = kept / name
        out.mkdir(parents=True)
        for folder in ("runs", "studies"):
            (out / folder).symlink_to((store / folder).resolve())
        printed = [said(*command, "--out", str(out)) for command in commands]
        (out / "printed.json").write_text(printed[0][0].replace(str(out), ""))
        return printed[-1][1]

    others = {study: shown(study, *_both(study)) for study in STUDIES}
    for study, text in others.items():
        for grid in re.findall(r"--grid (\w+)", text):
            shown(f"{study}-{grid}", *_both(study, "--grid", grid))
    shown("claims", ("claims", "--json"))
    for path in sorted(kept.glob("*/**/*")):
        if path.suffix in (".json", ".csv", ".md", ".tex", ".svg"):
            yield f"{path.relative_to(kept)} {digest(path.read_bytes())}"


def _both(study: str, *grid: str) -> tuple[tuple[str, ...], ...]:
    return ("table", study, *grid, "--json"), ("plot", study, *grid)


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "make":
        for command in MADE:
            print(said(*command.split(), *MACHINE.split(), "--out", str(place))[1])
    else:
        folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp())
        print(*runs(place), *reports(place, folder), sep="\n")
