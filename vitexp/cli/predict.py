"""``vitexp predict``: what runs or checkpoints say of each image."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitexp.cli.flags import Json, Out, with_reading
from vitexp.cli.options import Deterministic, Device, ModelOfFile, Weights, copy_of
from vitexp.errors import VitexpError
from vitexp.spec import Reading

if TYPE_CHECKING:
    from vitexp.datasets.pictures import Pictures
    from vitexp.launch.events import Event
    from vitexp.launch.machine import Machine
    from vitexp.runs.store import Store
    from vitexp.tasks.predict import Score, Subject

_WORST = 3
"""Classes whose recall is said."""


@with_reading
def predict(
    reading: Reading,
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE... [IMAGES]",
            help="run ids or files of weights; then the images: a folder, a data set or a file",
        ),
    ],
    test: Annotated[
        bool, typer.Option("--test", help="instead of IMAGES: the test images of each run")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", "-o", help="FILE.csv or FILE.parquet [predictions.csv in --out]"),
    ] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="of several: also the mean of their probabilities")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="columns for so many most probable classes; 0: for each class"
            " [each up to 100 classes, else 5]",
        ),
    ] = None,
    model: ModelOfFile = None,
    weights: Weights = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    out: Out = Path("."),
    json: Json = False,
) -> None:
    """Predict each image of a folder, of a data set or of the test split, with probabilities.

    A data set's test images are predicted where it has some, else all. Labels are matched by the
    name of the class; images without one are predicted, too.
    """
    from vitexp.cli import screen
    from vitexp.cli.execute import check_writable
    from vitexp.launch import devices
    from vitexp.launch.machine import Machine
    from vitexp.render import predictions
    from vitexp.runs.options import ExecutionOptions
    from vitexp.runs.store import Store
    from vitexp.tasks.predict import Score, check_alike, rows

    file = to or out / "predictions.csv"
    predictions.maker_of(file)
    check_writable(file.parent)
    said: list[str] = []

    def remark(text: str) -> None:
        said.append(text)
        screen.say(text)

    store, pictures = Store(out), None
    if not test:
        things, pictures = _split(things, reading)
        for note in pictures.notes:
            remark(note)
    subjects = _subjects(things, store, pictures, (model, weights), remark)
    check_alike(subjects, test, mean)
    classes = subjects[0].classes
    strange = _say_labels(pictures, classes, remark) if pictures else {}
    machine = Machine(
        out, devices.resolve(device), options=ExecutionOptions(deterministic=deterministic)
    )
    mean, scores = mean and len(subjects) > 1, dict[str, Score]()
    usual = 0 if len(classes) <= predictions.EVERY else predictions.BEST
    columns = usual if top is None else top
    file.parent.mkdir(parents=True, exist_ok=True)
    with predicted(subjects, pictures, reading, machine, file.parent) as files:

        def tables() -> Iterator[predictions.Columns]:
            for run, batch in rows(subjects, files, mean):
                scores.setdefault(run, Score(classes)).add(batch)
                yield predictions.columns(run, batch, classes, columns)
            if not scores:
                raise VitexpError("None of these images can be read.", "Give images.")

        predictions.write(file, tables())
    if pictures and (lost := len(pictures.images.labels) - scores[subjects[0].name].images):
        remark(f"Unreadable images that are left out: {lost}.")
    if test:
        for subject in subjects:
            _say_unlike(subject, scores[subject.name], store, remark)
    _show(file, scores, strange, said, json)


def subjects_of(runs: Sequence[str], store: Store) -> list[Subject]:
    """Runs, by the first digits of their ids, that predict their own test images.

    Raises:
        VitexpError: no such run, or one without weights or without its images.
    """
    from vitexp.cli import screen
    from vitexp.tasks.predict import run_subject

    specs = {spec.id: spec for run in runs for spec in [store.find(run).readable()]}
    return [run_subject(spec, store, None, screen.say) for spec in specs.values()]


def _split(things: list[str], reading: Reading) -> tuple[list[str], Pictures]:
    """Runs and files, and the images that the last word names."""
    from vitexp.datasets.pictures import open_pictures

    *subjects, images = things
    if not subjects:
        raise VitexpError(
            f"On which images is {images} to predict?",
            f"Say it: `vitexp predict {images} FOLDER`, or --test.",
        )
    return subjects, open_pictures(images, reading)


def _subjects(
    things: Sequence[str],
    store: Store,
    pictures: Pictures | None,
    asked: tuple[str | None, str | None],
    remark: Any,
) -> list[Subject]:
    from vitexp.runs.weights_file import names_file
    from vitexp.tasks.predict import file_subject, run_subject

    model, weights = asked
    copy, found = copy_of(weights), {}
    for thing in things:
        if names_file(thing):
            _refuse_image(Path(thing))
            subject = file_subject(Path(thing), model, copy, pictures, remark)
        else:
            subject = run_subject(store.find(thing).readable(), store, pictures, remark)
        found[subject.of.id] = subject
    return list(found.values())


def _refuse_image(path: Path) -> None:
    """A shell's ``*.jpg`` gives several images where one place of images is meant."""
    from vitexp.datasets.decode import is_image

    if path.is_file() and is_image(path):
        raise VitexpError(
            f"{path} is an image, and several are no place of images.",
            f"Give the folder that they are in: {path.parent}",
        )


def _say_labels(pictures: Pictures, classes: Sequence[str], remark: Any) -> dict[str, int]:
    """What is said of images without a label that the model knows; of them by their class."""
    from vitexp.tasks.predict import unlabelled

    bare, strange = unlabelled(pictures, classes)
    split = f" of its {pictures.split} split" if pictures.split else ""
    remark(f"{pictures.source}: {len(pictures.images.labels)} images{split}.")
    say_left_out(pictures, remark)
    if bare:
        remark(f"Images without a label: {bare}.")
    if strange:
        some = ", ".join(repr(name) for name in list(strange)[:3])
        more = ", ..." if len(strange) > 3 else ""
        remark(
            f"Images of classes that the model does not know ({some}{more}):"
            f" {sum(strange.values())}; they count as without a label."
        )
    return strange


def say_left_out(pictures: Pictures, remark: Callable[[str], None]) -> None:
    """What lies beside the images and is none of them."""
    if pictures.skipped:
        each = (f"{s.count} {s.reason} (such as {s.example})" for s in pictures.skipped)
        remark(f"Left out: {'; '.join(each)}.")


@contextmanager
def predicted(
    subjects: Sequence[Subject],
    pictures: Pictures | None,
    reading: Reading,
    machine: Machine,
    beside: Path,
) -> Iterator[list[Path]]:
    """A file of :mod:`vitexp.runs.predictions` for each subject, as long as the context lasts.

    Args:
        pictures: what they predict; None: their own test images.
        beside: a folder on a disk that has room for them.

    Raises:
        VitexpError: one of them could not predict.
    """
    from vitexp.cli import live, screen
    from vitexp.launch import local
    from vitexp.runs.files import TEMPORARY
    from vitexp.spec import Shown

    source = pictures.source if pictures else None
    with tempfile.TemporaryDirectory(dir=beside, prefix=TEMPORARY) as name:
        files = [Path(name, subject.of.id) for subject in subjects]
        todo = [
            (s.of, Shown(source, reading, s.classes, str(file.absolute())))
            for s, file in zip(subjects, files, strict=True)
        ]
        sizes = {s.of.id: _size(s, pictures) for s in subjects}
        with live.counting(screen.stderr()) as progress:

            def count(event: Event) -> None:
                if event.kind == "progress":
                    progress(f"predicting {event.run_id}", event.step, sizes[event.run_id])

            failed = local.predict(todo, machine, count)
        if failed:
            problem, _, remedy = next(iter(failed.values())).partition("\n")
            raise VitexpError(problem, remedy)
        yield files


def _size(subject: Subject, pictures: Pictures | None) -> int:
    """How many images it predicts."""
    from vitexp.spec import RunSpec

    if pictures is not None:
        return len(pictures.images.labels)
    assert isinstance(subject.of, RunSpec)
    return subject.of.data.test


def _say_unlike(subject: Subject, score: Score, store: Store, remark: Any) -> None:
    """Hold what came out for a run's test images against its record."""
    unlike = int((store.result(subject.of.id).correctness() != score.correct).sum())
    if unlike:
        remark(
            f"{subject.name}: {unlike} of {score.images} test images come out otherwise than in its"
            " own evaluation, which another device or number of threads can do."
        )


def _show(
    file: Path, scores: dict[str, Score], strange: dict[str, int], said: list[str], json: bool
) -> None:
    from vitexp.cli import screen

    if json:
        return screen.emit(_as_json(file, scores, strange, said))
    heads = ("images", "labelled", "top-1 %", "95 % interval")
    screen.table(
        ("predicted by", *heads),
        [
            (run, str(s.images), str(s.labelled), screen.percent(s.top1), _interval(s))
            for run, s in scores.items()
        ],
        right=heads,
    )
    for run, score in scores.items():
        if worst := score.recalls()[:_WORST]:
            each = (f"{c['name']} ({100 * c['recall']:.0f} % of {c['images']})" for c in worst)
            screen.say(f"{run}: lowest recall: {', '.join(each)}.")
    screen.say(f"Wrote {file}.")


def _interval(score: Score) -> str:
    return "-" if score.interval is None else "{:.1f} to {:.1f}".format(
        *(100 * end for end in score.interval)
    )  # fmt: skip


def _as_json(
    file: Path, scores: dict[str, Score], strange: dict[str, int], said: list[str]
) -> dict[str, Any]:
    """Under the stable names of docs/json.md."""
    return {
        "file": str(file),
        "unknown_classes": strange,
        "runs": [
            {
                "run": run,
                "images": score.images,
                "labelled": score.labelled,
                "top1": score.top1,
                "top1_low": score.interval and score.interval[0],
                "top1_high": score.interval and score.interval[1],
                "classes": score.recalls(),
            }
            for run, score in scores.items()
        ],
        "remarks": said,
    }
