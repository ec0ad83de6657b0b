"""Data sets of the Hugging Face hub, downloaded by the library `datasets` into its own cache."""

from __future__ import annotations

import dataclasses
import os
import ssl
import threading
import urllib.error
import urllib.request
from typing import Any

from vitexp.catalog.datasets import HUB_SETS, NAMES, HubSet
from vitexp.datasets.source import Source
from vitexp.datasets.tables import open_hub_tables
from vitexp.errors import VitexpError
from vitexp.spec import Reading

_PATIENCE = 5.0
"""Seconds until an answer of the hub is no longer waited for."""


def open_hub(hub: str, config: str | None, reading: Reading) -> Source:
    """A data set of the hub, or of the hub's cache on this machine.

    Args:
        hub: id, as ``owner/name``.
        config: its configuration, where it has several.
        reading: names its columns, or leaves them to the catalog and to their types.

    Raises:
        VitexpError: no network, no such data set, no access to it, or columns that do not fit.
    """
    where = f"{hub}:{config}" if config else hub
    facts = facts_of(hub)
    if facts is None:
        return open_hub_tables(_download(hub, config), where, reading)
    known = dataclasses.replace(
        reading,
        image_column=reading.image_column or facts.image,
        label_column=reading.label_column or facts.label,
    )
    return open_hub_tables(_download(hub, config), where, known, facts.test)


def facts_of(hub: str) -> HubSet | None:
    """What the catalog knows of a hub id."""
    return next((facts for facts in HUB_SETS.values() if facts.hub == hub), None)


def _download(hub: str, config: str | None) -> Any:
    reachable = _reachable()
    if not reachable:
        # Without this every request is tried six times, for half a minute; with it, what an
        # earlier download left in the hub's cache is still found.
        os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    try:
        return datasets.load_dataset(hub, config)
    except ConnectionError as error:
        raise _unreachable(hub) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise _refused(hub, str(error)) from error
    # Beside its own errors the library lets through whatever its HTTP client raises.
    except Exception as error:
        if not reachable:
            raise _unreachable(hub) from error
        raise VitexpError(
            f"The hub's data set {hub!r} cannot be loaded: {str(error).strip()}",
            "Where it has several configurations, name one: owner/name:configuration.",
        ) from error


def _unreachable(hub: str) -> VitexpError:
    return VitexpError(
        f"The Hugging Face hub cannot be reached, and {hub!r} is neither in its cache here "
        "nor a folder.",
        "Connect to the network, give the path of a folder that holds the data, "
        "or use --dataset digits, which needs no network.",
    )


def _refused(hub: str, reason: str) -> VitexpError:
    if "gated" in reason:
        return VitexpError(
            f"The hub gives {hub!r} only to people who accepted its terms.",
            f"Accept them at https://huggingface.co/datasets/{hub}, then run `hf auth login`.",
        )
    return VitexpError(
        f"The hub has no data set {hub!r}, or only for people who may see it.",
        f"Short names: {', '.join(NAMES)}. For a private one, run `hf auth login` first.",
    )


def _reachable() -> bool:
    answers: list[bool] = []
    # In a thread: looking up the host's name has no time limit of its own.
    thread = threading.Thread(target=lambda: answers.append(_answers()), daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return any(answers)


def _answers() -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        # A certificate that Python does not know is an answer, too; the library may know it.
        return isinstance(getattr(error, "reason", None), ssl.SSLError)
    return True
