"""`motion-jax demo` and its siblings: which one a name starts, and how it ends."""

from pathlib import Path

import pytest

from motion_jax import cli
from motion_jax.demos import anime, dancers, live, photo
from motion_jax.studio import adopt


@pytest.mark.parametrize(
    ("words", "module", "name"),
    [
        (["live"], live, "demo_live"),
        (["photo"], photo, "demo_photo"),
        (["anime"], anime, "demo_anime"),
        ([], dancers, "demo"),
        (["small"], dancers, "demo"),
    ],
)
def test_a_name_starts_its_demo(words, module, name, monkeypatch, tmp_path, capsys):
    asked = []
    for each, function in (
        (live, "demo_live"), (photo, "demo_photo"), (anime, "demo_anime"), (dancers, "demo")
    ):  # fmt: skip
        monkeypatch.setattr(
            each, function, lambda options, of=function: asked.append((of, options))
        )
    monkeypatch.setattr(adopt, "adopt_demo", lambda out: out / "studio")
    cli.main(["demo", *words, "--out", str(tmp_path), "--no-mark"])
    [(started, options)] = asked
    assert started == name and hasattr(module, name)
    assert options.out == Path(tmp_path) and not options.mark
    said = capsys.readouterr()
    text = said.out + said.err
    assert ("motion-jax studio --projects" in text) == (name == "demo")
    assert "Next: motion-jax prepare VIDEO --out DATASET" in text
