"""Whose pictures a source of a dataset of real and synthetic ones holds, by its name."""

from pathlib import PurePosixPath
from typing import NamedTuple

REAL, SYNTHETIC = "real", "synthetic"
# Domains of the dataset: see recipes/fake_detector.py.
DOMAINS = {SYNTHETIC: "A", REAL: "B"}


class Label(NamedTuple):
    """Whose pictures they are: method is "" of real ones."""

    method: str
    person: str


def label_of(name: str) -> Label:
    """Of a source's name in the dataset, as "synthetic/pix2pix/anna.mp4" or "real/anna".

    A person is the name of a folder or of a film up to its suffix or its first #: real/anna.mp4,
    real/anna#2.mp4 and real/anna/… are all anna.
    """
    kind, *parts = PurePosixPath(name).parts
    method = parts.pop(0) if kind == SYNTHETIC else ""
    person = parts[0] if len(parts) > 1 else PurePosixPath(parts[0]).stem
    return Label(method, person.partition("#")[0])
