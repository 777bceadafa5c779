"""What can be learnt of a person on this machine, as a job (motion-jax suggest) has reckoned it."""

import json
from pathlib import Path
from typing import Any

from motion_jax.studio.library import Item


def plan_of(person: Item) -> Path:
    """Where the choices for a dataset are written."""
    return person.project / "plans" / f"{person.id}.json"


def read_plan(person: Item) -> dict[str, Any] | None:
    """None where they are not reckoned yet, or for another dataset under this name."""
    place = plan_of(person)
    try:
        if place.stat().st_mtime < (person.path / "metadata.json").stat().st_mtime:
            return None
        value: dict[str, Any] = json.loads(place.read_text())
        return value
    except (OSError, ValueError):
        return None
