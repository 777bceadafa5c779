"""The Dockerfiles, as far as they can be checked without building them."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FILES = ("Dockerfile", "Dockerfile.beam")
both = pytest.mark.parametrize("name", FILES)


def text(name: str) -> str:
    return (ROOT / "launch" / name).read_text()


def copied(name: str) -> list[str]:
    """What COPY takes from the repository."""
    lines = re.findall(r"^COPY (.+) \S+$", text(name), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@both
def test_hadolint(name, checker):
    done = subprocess.run(
        [checker("hadolint"), ROOT / "launch" / name], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@both
def test_everything_it_copies_is_there_and_sent(name):
    assert all((ROOT / path).exists() for path in copied(name))
    ignored = text(f"{name}.dockerignore").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied(name))


@both
def test_what_is_copied_is_all_that_the_package_needs(name):
    options, metadata = settings()["options"], settings()["metadata"]
    folders = dict(line.split(" = ") for line in options["package_dir"].split("\n") if line)
    for package in options["packages"].split():
        base = max((p for p in folders if (package + ".").startswith(p + ".")), key=len, default="")
        path = Path(folders.get(base, ""), *package.removeprefix(base).strip(".").split("."))
        assert (ROOT / path).is_dir() and path.parts[0] in copied(name), package
    files = [metadata["license_files"], metadata["long_description"].split()[-1]]
    assert {*files, "setup.cfg", "pyproject.toml", "constraints.txt"} <= set(copied(name))


def test_it_needs_no_root_and_its_python_is_one_of_ours():
    lines = text("Dockerfile").splitlines()
    user = next(i for i, line in enumerate(lines) if line.startswith("USER "))
    assert lines[user] == "USER 1000" and not any(line.startswith("RUN") for line in lines[user:])
    version = re.search(r"^FROM python:(3\.\d+)-slim-\w+ AS base$", text("Dockerfile"), re.M)[1]
    assert f"Python :: {version}" in settings()["metadata"]["classifiers"]


def test_the_servers_are_stages_of_their_own_and_the_command_the_default():
    stages = re.findall(
        r"^FROM base AS (\w+)\n(?:.*\n)*?ENTRYPOINT (.*)$", text("Dockerfile"), re.M
    )
    assert [name for name, _ in stages] == ["serve", "studio", "command"]
    assert "motion-jax serve --host 0.0.0.0 --token" in stages[0][1]
    assert "motion-jax studio --no-browser --host 0.0.0.0 --projects" in stages[1][1]
    assert stages[2][1] == '["motion-jax"]'


def test_the_pins_that_beam_cannot_keep_are_the_ones_in_the_docs():
    """One list, in the Dockerfile and in docs/data.md; all of them are pins."""
    found = re.search(r"grep -v -E '\^\(([\w|-]+)\)=='", text("Dockerfile.beam"))
    assert found[0] in (ROOT / "docs" / "data.md").read_text()
    pinned = (ROOT / "constraints.txt").read_text()
    assert all(f"\n{name}==" in pinned for name in found[1].split("|"))


def test_pins_and_requirements_agree():
    """pip can satisfy what setup.cfg asks for within constraints.txt."""
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    pins = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    parser = settings()
    extras = parser["options.extras_require"]
    wanted = [parser["options"]["install_requires"], extras["tpu"], extras["cuda"], extras["dev"]]
    environment = default_environment() | {"python_version": "3.11"}
    checked = 0
    for line in "\n".join(wanted).splitlines():
        wish = line.split("#")[0].strip()
        if not wish:
            continue
        requirement = Requirement(wish)
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        pin = pins[canonicalize_name(requirement.name)]
        assert pin in requirement.specifier, f"{wish} against {pin} of constraints.txt"
        checked += 1
    assert checked > 15
