"""How RunwayML's clients are told the names and kinds of inputs and outputs."""

from typing import Any

from motion_jax.transfer.resident import Resident


def _image(name: str, resident: Resident, what: str) -> dict[str, Any]:
    height, width = resident.size
    return {
        "type": "image",
        "name": name,
        "description": what,
        "channels": 3,
        "minWidth": None,
        "minHeight": None,
        "maxWidth": None,
        "maxHeight": None,
        "width": width,
        "height": height,
        "defaultOutputFormat": "JPEG",
    }


def inputs(name: str, resident: Resident) -> list[dict[str, Any]]:
    """Width and height are hints: pictures of any size are taken."""
    return [_image(name, resident, f"what drives {resident.name}")]


def outputs(name: str, resident: Resident) -> list[dict[str, Any]]:
    return [_image(name, resident, f"synthetic picture of {resident.name}")]
