"""Data sets that have a short name: where the Hugging Face hub keeps them, and their traits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubSet:
    """A data set on the Hugging Face hub.

    Attributes:
        hub: its id there.
        image, label: the columns to read.
        config: its configuration, where it has several.
        test: the hub's split that serves as test.
        flips: whether a horizontal flip keeps the label.
    """

    hub: str
    image: str
    label: str
    config: str | None = None
    test: str = "test"
    flips: bool = True


EMBEDDED = "digits"
"""scikit-learn's digits: 1,797 images of 8x8, 10 classes; the one set that needs no file."""

HUB_SETS = {
    "cifar10": HubSet("uoft-cs/cifar10", "img", "label"),
    "cifar100": HubSet("uoft-cs/cifar100", "img", "fine_label"),
    "mnist": HubSet("ylecun/mnist", "image", "label", flips=False),
    "fashion_mnist": HubSet("zalando-datasets/fashion_mnist", "image", "label"),
    "svhn": HubSet("ufldl-stanford/svhn", "image", "label", config="cropped_digits", flips=False),
    # The labels of its test split were never published.
    "imagenet-1k": HubSet("ILSVRC/imagenet-1k", "image", "label", test="validation"),
}

NAMES = (EMBEDDED, *HUB_SETS)
"""What ``--dataset`` accepts beside paths and hub ids."""
