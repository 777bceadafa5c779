"""What `pip install motion-jax` brings, by the metadata of what is installed here."""

import configparser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# Frameworks, browsers and servers; whoever wants one names an extra.
HEAVY = ("torch", "torchvision", "tensorflow", "keras", "fastapi", "starlette", "uvicorn", "gradio",
         "playwright", "selenium", "openvino", "onnxruntime", "apache-beam", "xprof")  # fmt: skip


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def wanted(lines: str | list[str]) -> list[Requirement]:
    """Those of the lines that count here, without an extra."""
    found = lines.splitlines() if isinstance(lines, str) else lines
    asked = [Requirement(line) for line in found if line.strip() and not line.startswith("#")]
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]


def test_no_framework_no_browser_and_no_server_comes_along(setup):
    brought, ahead = (
        {},
        [(one, "setup.cfg") for one in wanted(setup["options"]["install_requires"])],
    )
    while ahead:
        one, by = ahead.pop()
        name = canonicalize_name(one.name)
        if name in brought:
            continue
        brought[name] = by
        try:
            ahead += [(each, name) for each in wanted(metadata.requires(name) or [])]
        except metadata.PackageNotFoundError:
            continue
    assert "jax" in brought and "mediapipe" in brought and "numpy" in brought
    assert not {name: by for name, by in brought.items() if name in HEAVY}


def test_every_extra_is_in_the_readme(setup):
    table = (ROOT / "README.md").read_text().split("\n## Extras\n")[1].split("\n## ")[0]
    missing = [name for name in setup["options.extras_require"] if f"`{name}`" not in table]
    assert not missing
