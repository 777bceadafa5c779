"""The shipped configs, for pages that do without jax, which reading them needs."""

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import motion_jax
from motion_jax.errors import UserError


def configs() -> list[str]:
    """Their names, found by their files."""
    return sorted(path.stem for path in _folder().glob("[!_]*.py"))


@functools.cache
def in_a_line(config: str) -> str:
    """What a config is for: the first sentence of its file."""
    text = ast.get_docstring(ast.parse((_folder() / f"{config}.py").read_text("utf-8"))) or ""
    return re.split(r"\.(?=\s|$)", " ".join(text.split()))[0] + "."


def _folder() -> Path:
    package = Path(motion_jax.__file__).parent
    folder = package / "shipped_configs"
    return folder if folder.is_dir() else package.parent / "configs"


@functools.cache
def explained(config: str) -> str:
    """What a config's settings mean, as the command line explains them; read in a process of its
    own. Raises UserError where that fails."""
    done = subprocess.run(
        [sys.executable, "-m", "motion_jax.cli", "train", config, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise UserError(
            f"The settings of {config} cannot be shown; motion-jax train {config} --help says why."
        )
    return done.stdout
