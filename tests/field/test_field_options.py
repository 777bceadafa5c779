"""A wrong choice or a value of the wrong type is one sentence, in every verb."""

import pytest

from motion_jax.cli import main

WRONG = {
    "prepare a.mp4 --out x --fit nonsense": "--fit nonsense is no choice; give crop, letterbox or",
    "prepare a.mp4 --out x --fps abc": "--fps abc is not a number",
    "prepare a.mp4 --out x --max-gap 1.5": "--max-gap 1.5 is not a whole number",
    "prepare a.mp4 --out": "--out wants a value",
    "prepare a.mp4": "motion-jax prepare needs --out PATH;",
    "transfer": "motion-jax transfer needs --source PATH and --out PATH;",
    "transfer --source a --out b.mp4 --method foo": "--method foo is no choice; give nearest",
    "transfer --source a --out b.mp4 --chunk x": "--chunk x is not a whole number",
    "transfer --source a --out b.mp4 --video-track first": "--video-track first is not a whole",
    "transfer --source a --out b.mp4 --retrieval.k x": "--retrieval.k x is not a whole number",
    "transfer --source a --out b.mp4 --side-by": "no option --side-by; did you mean --side-by-side",
    "import-data a --out b --layout zip": "--layout zip is no choice; give auto, edn,",
    "pair --a x --b y --out z --k many": "--k many is not a whole number",
    "pair --a x": "motion-jax pair needs --b PATH and --out PATH;",
    "export-data x --out y --face-points 5": "--face-points 5 is no choice; give 0, 8, 9, 22 or",
    "evaluate --run x --batch big": "--batch big is not a whole number",
    "evaluate": "motion-jax evaluate needs --run PATH;",
    "compare --target a --source b --out c --seed x": "--seed x is not a whole number",
    "import x": "motion-jax import needs --run PATH;",
    "export --format zip": "--format zip is no choice; give torch,",
    "fetch nothing": "nothing is no choice; give vgg19",
    "train demo --data x --run y --recipe.dtype z": "--recipe.dtype z is no choice; give float32",
    "train demo --data x --run y --width wide": "--width wide is not a whole number",
    "profile demo --batch x": "--batch x is not a whole number",
    "profile demo --recipe.dtype z": "--recipe.dtype z is no choice",
    "compile demo --topology v5e:2x2 --batch-per-chip x": "--batch-per-chip x is not a whole",
    "inspect": "motion-jax inspect needs ",
    "parity a": "motion-jax parity needs ",
    "nonsense": "There is no verb",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_sentence(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(SystemExit) as end:
        main(words.split())
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == ""
    assert said.err.startswith("motion-jax: error: ") and said.err.count("\n") == 1
    assert WRONG[words] in said.err and said.err.endswith((".\n", "?\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_help_is_as_it_was(capsys):
    with pytest.raises(SystemExit) as end:
        main(["transfer", "--help"])
    said = capsys.readouterr()
    assert end.value.code == 0 and "--side-by-side" in said.out and said.err == ""
    assert max(map(len, said.out.splitlines())) < 200
