"""What a study departs from."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vitexp.spec import PositionSpec, RunSpec


@dataclass(frozen=True)
class Base:
    """What a study departs from, resolved from the flags.

    Attributes:
        run: a complete run; a study changes only the thing under test and the seed.
        seeds: the seeds of every cell.
        position_std: kind of position -> initial std of its tables under this recipe;
            ``"*"`` stands for every other kind.
        parent: the run that a fine-tune starts from, in any of its seeds; None for others.
        rates: the learning rates of which a fine-tune takes the best.
        resolver: gives the run with some settings changed; None where there are no flags.
    """

    run: RunSpec
    seeds: tuple[int, ...]
    position_std: Mapping[str, float]
    resolver: Callable[[Mapping[str, Any]], RunSpec] | None = None
    parent: RunSpec | None = None
    rates: tuple[float, ...] = ()

    def std_of(self, kind: str) -> float:
        return self.position_std.get(kind, self.position_std["*"])

    def seeded(self, seed: int) -> RunSpec:
        """The base run with another seed."""
        return self.run.seeded(seed)

    def asked_with(self, own: Mapping[str, str]) -> Base:
        """This base, asked for with a command's own flags, too."""
        words = shlex.join(word for pair in own.items() for word in pair if word)
        asked = f"{self.run.asked} {words}".strip()
        return dataclasses.replace(self, run=dataclasses.replace(self.run, asked=asked))

    def departure(self, **changes: Any) -> RunSpec:
        """The first seed's run that the flags would have asked for with these settings changed.

        Flags about a part that another model does not have are left out.

        Raises:
            VitexpError: settings that do not fit one another or the data.
        """
        assert self.resolver is not None
        return dataclasses.replace(self.resolver(changes), asked=self.run.asked)

    def cell(self, position: PositionSpec, seed: int) -> RunSpec:
        """The base run, which has a transformer, with another position and seed."""
        vit = dataclasses.replace(self.run.model.transformer, position=position)
        model = dataclasses.replace(self.run.model, vit=vit)
        return dataclasses.replace(self.run, model=model).seeded(seed)
