"""Who predicts which images, and what the predictions come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitexp.analysis.shares import share_interval
from vitexp.datasets.image_set import ImageSet
from vitexp.datasets.load import images_of
from vitexp.datasets.pictures import Pictures
from vitexp.datasets.split_names import words
from vitexp.errors import VitexpError
from vitexp.runs.predictions import Predicted, reading
from vitexp.runs.store import Store
from vitexp.spec import Checkpoint, Copy, RunSpec
from vitexp.tasks.probe import checkpoint

MEAN = "mean"
"""What rows of the mean probability have as their run."""


@dataclass(frozen=True)
class Subject:
    """What predicts.

    Attributes:
        name: a run's id, or a file's path.
        of: the run or the file.
        classes: names, in label order.
    """

    name: str
    of: RunSpec | Checkpoint
    classes: tuple[str, ...]


def run_subject(
    spec: RunSpec, store: Store, pictures: Pictures | None, remark: Callable[[str], None]
) -> Subject:
    """A run as what predicts ``pictures``, or its own test images where that is None.

    Args:
        remark: called with what readers of the predictions should know.

    Raises:
        VitexpError: it has no weights, or its own images are not to be had.
    """
    store.weights(spec.id)
    if pictures is None:
        return Subject(spec.id, spec, own_images(spec).names)
    try:
        names = own_images(spec).names
    except VitexpError as error:
        remark(f"{error.problem} Its classes are numbered, for want of their names.")
        names = _numbers(spec.model.classes)
    if _holds_training(pictures, spec.data.source):
        remark(
            f"Run {spec.id} was trained on some of these images: its accuracy on them says little."
            " --test has those that it was not."
        )
    return Subject(spec.id, spec, names)


def _holds_training(pictures: Pictures, source: str) -> bool:
    """Whether images that a run was trained on, from ``source``, are among these."""
    inside = Path(pictures.source)
    if pictures.split is not None or not inside.is_relative_to(source):
        return False
    named = {word for part in inside.relative_to(source).parts for word in words(part)}
    return named <= {"train"}


def own_images(spec: RunSpec) -> ImageSet:
    """A run's data set, as its model sees it.

    Raises:
        VitexpError: it is not there any more, or has changed.
    """
    try:
        return images_of(spec.data, spec.model.channels)
    except VitexpError as error:
        raise VitexpError(
            f"The images of run {spec.id} are not to be had as they were: {error.problem}",
            "Put them back, or name images to predict: a folder or a data set.",
        ) from error


def file_subject(
    path: Path,
    model: str | None,
    copy: Copy | None,
    pictures: Pictures | None,
    remark: Callable[[str], None],
) -> Subject:
    """A file of weights as what predicts ``pictures``.

    Args:
        model, copy: as for :func:`vitexp.tasks.probe.probe_of_file`.

    Raises:
        VitexpError: no pictures, no classifier in the file, or another model than ``model``.
    """
    if pictures is None:
        raise VitexpError(
            f"{path} is a file of weights and has no test images.", "Name images instead of --test."
        )
    found, of = checkpoint(path, model, copy, remark, "all")
    if len(pictures.classes) == of.classes:
        remark(f"{path} does not name its classes: they are taken to be those of the images.")
        return Subject(str(path), found, pictures.classes)
    remark(f"{path} does not name its {of.classes} classes: they are numbered.")
    return Subject(str(path), found, _numbers(of.classes))


def _numbers(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))


def check_alike(subjects: Sequence[Subject], test: bool, mean: bool) -> None:
    """Refuse predictions that do not fit into one file.

    Args:
        test: whether each predicts its own test images.
        mean: whether their mean is wanted, too.

    Raises:
        VitexpError: they have other classes, or for their mean, other test images.
    """
    first = subjects[0]
    for other in subjects[1:]:
        if other.classes != first.classes:
            raise VitexpError(
                f"{first.name} and {other.name} do not have the same classes.",
                "Predict them one by one, each into a file of its own (--to).",
            )
        if mean and test and _test(first) != _test(other):
            raise VitexpError(
                f"Runs {first.name} and {other.name} have other test images, which have no mean.",
                "Leave --mean out, or choose runs on the same data.",
            )


def _test(subject: Subject) -> object:
    assert isinstance(subject.of, RunSpec)
    # Not the fingerprint: runs of other image sizes see the same images.
    data = subject.of.data
    return data.source, data.classes, data.test


def unlabelled(pictures: Pictures, classes: Sequence[str]) -> tuple[int, dict[str, int]]:
    """How many images have no label, and how many have one of a class that is not among
    ``classes``, by its name."""
    labels, known = pictures.images.labels, pictures.labels_among(classes)
    strange = np.bincount(labels[(labels >= 0) & (known < 0)], minlength=len(pictures.classes))
    return int((labels < 0).sum()), {
        name: int(count) for name, count in zip(pictures.classes, strange, strict=False) if count
    }


def rows(
    subjects: Sequence[Subject], files: Sequence[Path], mean: bool
) -> Iterator[tuple[str, Predicted]]:
    """(run, its predictions) batch by batch, one subject after the other; then their mean.

    Args:
        files: what each predicted, see :mod:`vitexp.runs.predictions`.
    """
    for subject, file in zip(subjects, files, strict=True):
        for predicted in reading(file):
            yield subject.name, predicted
    if mean:
        for together in zip(*map(reading, files), strict=True):
            yield MEAN, _mean(together)


def _mean(together: Sequence[Predicted]) -> Predicted:
    first = together[0]
    assert all(each.sources == first.sources for each in together)
    every = np.stack([each.probabilities for each in together])
    mean = every.mean(axis=0, dtype=np.float64)
    best: np.ndarray = mean.argmax(axis=1)
    return Predicted(first.sources, first.labels, best, mean.astype(np.float32))


class Score:
    """What a subject got right of the images that have a label.

    Attributes:
        images: all of them. labelled: those with a label.
        correct: for each labelled one, in order, whether it was: bool.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.images = 0
        self._right: Counter[int] = Counter()
        self._there: Counter[int] = Counter()
        self._correct: list[np.ndarray] = []

    def add(self, predicted: Predicted) -> None:
        labelled = predicted.labels >= 0
        right = predicted.correct[labelled]
        self.images += len(labelled)
        self._there.update(predicted.labels[labelled].tolist())
        self._right.update(predicted.labels[labelled][right].tolist())
        self._correct.append(right)

    @property
    def correct(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, bool), *self._correct])

    @property
    def labelled(self) -> int:
        return self._there.total()

    @property
    def top1(self) -> float | None:
        """A share of the labelled images; None where there are none."""
        return self._right.total() / self.labelled if self.labelled else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of it, over images, at 95 %."""
        return share_interval(self._right.total(), self.labelled) if self.labelled else None

    def recalls(self) -> list[dict[str, Any]]:
        """Of each class that has images, the lowest recall first."""
        found: list[dict[str, Any]] = [
            {"name": self.classes[k], "images": n, "recall": self._right[k] / n}
            for k, n in sorted(self._there.items())
        ]
        return sorted(found, key=lambda row: row["recall"])
