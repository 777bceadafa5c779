"""Each verb names the command that makes sense after it, and that command can be typed."""

import json
import shlex
from pathlib import Path

import pytest

from motion_jax import cli
from motion_jax.cli import train as command
from motion_jax.cli.after import next_command
from motion_jax.cli.completion import options_of
from motion_jax.compare.options import CompareOptions
from motion_jax.config import load_config, to_json
from motion_jax.data.import_options import ImportOptions as FolderOptions
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.pairing.options import PairOptions
from motion_jax.port.options import ImportOptions
from motion_jax.transfer.options import TransferOptions


def test_every_verb_that_makes_something_names_the_next_command():
    run_, out, film = Path("my run"), Path("o"), Path("s.mp4")
    trained = command.TrainOptions(run=run_)
    assert next_command("train", trained) == "motion-jax evaluate --run 'my run'"
    pairs = PairOptions(out, out, out, kind="pics2pics")
    assert next_command("pair", pairs) == "motion-jax train pics2pics --data o --run RUN"
    assert "--run 'my run'" in next_command("evaluate", EvaluateOptions(run=run_))
    imported = ImportOptions(Path("x"), run_)
    assert next_command("import", imported).endswith("--run 'my run' --source VIDEO --out OUT.mp4 "
                                                     "--normalize none")  # fmt: skip
    assert "--data o" in next_command("import-data", FolderOptions(Path("x"), out))
    drawn = TransferOptions(source=film, out=out, run=run_)
    shown = TransferOptions(source=film, out=out, data=Path("d"), method="nearest")
    assert "evaluate --run 'my run' --source s.mp4" in next_command("transfer", drawn)
    assert "compare --target d" in next_command("transfer", shown)
    compared = CompareOptions(target=Path("d"), source=film, out=out)
    table = {"methods": {"nearest": {}, "pose2pics": {"run": "out/runs/pose2pics"}}}
    for best, said in (("nearest", "--method nearest --data d"), ("pose2pics", "--run out/runs")):
        table["recommendation"] = {"pose": [best], "person": []}
        assert said in next_command("compare", compared, table)
    # What is said can be typed: every option that is named exists.
    for line in (next_command("transfer", shown), next_command("compare", compared, table)):
        typed(line)


def test_what_follows_is_what_the_run_can_do(tmp_path):
    """Without a true frame nothing is measured; a photo is animated; noise has no film."""
    after = {"stylegan2": "factors", "cyclegan": "transfer", "first_order": "animate",
             "pose_stylegan": "animate", "face_style": "stylise"}  # fmt: skip
    for name, shown in after.items():
        (tmp_path / name).mkdir()
        text = json.dumps(to_json(load_config(name)))
        (tmp_path / name / "config.json").write_text(text)
        run_ = tmp_path / name
        trained = typed(next_command("train", command.TrainOptions(run=run_)))
        measured = name in ("first_order", "face_style")
        assert trained == ("evaluate" if measured else shown)
        assert typed(next_command("evaluate", EvaluateOptions(run=run_))) == shown
        assert typed(next_command("import", ImportOptions(Path("x"), run_))) == shown


def test_after_an_evaluation_that_recognises_nobody(tmp_path):
    run_ = tmp_path / "run"
    run_.mkdir()
    (run_ / "config.json").write_text(json.dumps(to_json(load_config("pose2pics"))))
    poor = {"methods": {"trained": {"person_found": 0.0}}, "data": "d",
            "reestimated_real": {"person_found": 1.0}}  # fmt: skip
    evaluated = EvaluateOptions(run=run_)
    line = next_command("evaluate", evaluated, poor)
    assert "--method nearest --data d" in line and typed(line) == "transfer"
    early = poor | {"go_on": f"motion-jax train --data d --run {run_}"}
    assert next_command("evaluate", evaluated, early).startswith("motion-jax train --data d")
    # Where the detector finds nobody in true frames it is not the run's fault.
    blind = poor | {"reestimated_real": {"person_found": 0.0}}
    good = poor | {"methods": {"trained": {"person_found": 1.0}}}
    for result in (blind, good):
        assert f"--run {run_}" in next_command("evaluate", evaluated, result)


def typed(line: str) -> str:
    """The verb of a line that is said after another one; its options exist."""
    verb, *words = shlex.split(line.partition("   (")[0])[1:]
    # The config of train is read before its options are.
    kind = options_of(verb, words)
    cli.parse(kind, verb, words[1:] if verb == "train" else words)
    return verb


# The options of a verb, and the verb of the command that is named after it: one for each row.
FOLLOWED = {
    "export-data d --out o": ({}, "import"),
    "animate --run r --photo p.png --driving d.mp4 --out o.mp4": ({}, "animate"),
    "distill --teacher r --run s": ({}, "live"),
    "live --run r": ({"left_out": []}, "live"),
    "live --run r --record o.mp4": ({"left_out": [[1.0, "out", "pose"]]}, "distill"),
    "export --run r --out o": ([Path("o/latest_net_G.pth")], "parity"),
    "export a.pth --format safetensors --out o": ([Path("o/a.safetensors")], "inspect"),
    "inspect r": ({"kind": "run"}, "export"),
    "inspect a.pth": ({"kind": "file", "networks": {"a": {"architecture": {}}}}, ""),
    "inspect b.pth": ({"kind": "file", "networks": {"b": {"architecture": {"a": 1}}}}, "import"),
    "inspect a.pth.tar": ({"kind": "file", "networks": {"a": {"architecture": None}}}, "import"),
    "inspect a.pth b.pth": ({"identical": False}, "parity"),
    "inspect a.pth a.pth": ({"identical": True}, ""),
    "parity a.pth b.pth": ({"first": "model.1"}, "inspect"),
    "parity a.pth b.npz": ({"first": None}, "import"),
    "profile demo": ({"folder": "out/profile/demo-global"}, "profile"),
    "profile --compare a b": ({}, ""),
    "compile demo --topology h200": ({"stages": {"global": {"fits": True}}}, "train"),
    "compile small --topology h200": ({"stages": {"global": {"fits": False}}}, "compile"),
    "blend a b --out o": (Path("o"), "pair-faces"),
    "blend a b --out o --method swap": (Path("o"), ""),
    "project p.png --run r --out o": (Path("o"), "factors"),
    "encoder r --out e.npz": (Path("e.npz"), "project"),
    "factors r --out o": (Path("o"), "project"),
    "pair-faces a o --out d": (Path("d"), "train"),
    "one-style p.png --run r --out o": (Path("o"), "pair-faces"),
    "frechet r --data d": ({}, "factors"),
    "stylise --run r --source s.mp4 --out o.mp4": (None, "export"),
    "fetch vgg19": (None, "train"),
    "demo": (None, "prepare"),
}


def test_what_is_named_after_files_is_taken(tmp_path):
    """Suggestions name files where folders are refused, and a dataset where the run has none."""

    def after(line, result):
        verb, *words = shlex.split(line)
        said = next_command(verb, cli.parse(options_of(verb), verb, words), result)
        typed(said)
        return said.partition("   (")[0]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("20_net_G.pth", "latest_net_D.pth", "latest_net_G.pth"):
            (tmp_path / name / file).touch()
    one, two = tmp_path / "one", tmp_path / "two"
    said = after(f"inspect {one} {two}", {"identical": False})
    assert f"parity {one}/latest_net_G.pth {two}/latest_net_G.pth --input" in said
    run_ = tmp_path / "run"
    run_.mkdir()
    (run_ / "config.json").write_text(json.dumps(to_json(load_config("demo"))))
    assert after(f"parity {run_} a.pth", {"first": None}).endswith(f"{run_} --data DATASET")
    (run_ / "dataset.json").touch()
    assert after(f"parity {run_} a.pth", {"first": None}).endswith(f"evaluate --run {run_}")
    wrote = [Path("o/latest_net_G_A.pth")]
    assert after("export --run r --out o", wrote).endswith("random:0 --network generator_A")
    wrote = [Path("o/00000000-checkpoint.pth.tar")]
    assert after("export --run r --out o", wrote).endswith("r --input random:0")
    networks = {"a.pt: generator": {"architecture": {"class": "x"}}, "b": {"architecture": None}}
    found = {"kind": "checkpoints", "networks": networks}
    assert after(f"inspect {one}", found) == f"motion-jax import {one}/a.pt --run RUN"


@pytest.mark.parametrize("line", FOLLOWED)
def test_every_other_verb_names_the_next_command_too(line):
    verb, *words = shlex.split(line)
    result, following = FOLLOWED[line]
    said = next_command(verb, cli.parse(options_of(verb), verb, words), result)
    assert (said and typed(said)) == following


def test_after_people_who_are_unsure_comes_looking(tmp_path):
    """With the corrections that would not be refused, and the stretch of the film that was asked
    for."""
    words = ["d.mp4", "--out", str(tmp_path), "--end", "2.5"]
    options = cli.parse(options_of("people"), "people", words)
    prepare = "motion-jax prepare d.mp4 --person A --end 2.5 --out DATASET"
    assert next_command("people", options, ("A", "B", "C")) == prepare
    seen = {"A": [[0.0, 1.0]], "B": [[0.0, 2.4]], "C": [[1.2, 2.4]]}
    people = [{"name": name, "seen_seconds": spans} for name, spans in seen.items()]
    report = {"people": people, "unsure": []}
    (tmp_path / "people.json").write_text(json.dumps(report))
    assert next_command("people", options, ("A", "B", "C")) == prepare
    report["unsure"] = [
        {"seconds": 1.2, "people": ["A", "C"], "why": ""},
        {"seconds": 1.2, "people": ["B", "C"], "why": ""},
    ]
    (tmp_path / "people.json").write_text(json.dumps(report))
    said = next_command("people", options, ("A", "B", "C"))
    assert said.startswith(f"look at {tmp_path}/people.png;") and prepare in said
    assert "--same A,C " in said and "--at C=1.20s,X,Y " in said
    assert "--same B,C" not in said, "they are seen together"
    assert typed(said[said.index("motion-jax") :]) == "prepare"


def test_no_verb_was_forgotten():
    """See next_command for those that have none."""
    named = {"train", "pair", "evaluate", "import", "import-data", "transfer", "compare", "people"}
    named |= {"adapt"}
    named |= {shlex.split(line)[0] for line in FOLLOWED}
    own = {"prepare", "suggest", "serve", "studio", "completion", "jobs", "check"}
    assert named == set(cli.VERBS) - own


@pytest.mark.parametrize("format", ["onnx", "stablehlo", "orbax"])
def test_an_exported_program_is_run_elsewhere(format):
    options = cli.parse(options_of("export"), "export", ["--run", "r", "--format", format])
    assert next_command("export", options, [Path("o/a")]).startswith("docs/export.md")
    said = next_command("export", options, [Path("o/a"), Path("o/a.json")])
    assert said == "o/a.json says how it is called, without motion_jax."
