"""The verb: what it measures, writes, prints and refuses. One tiny profile is made for all."""

import json
import re
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from rich.console import Console

from motion_jax import cli, files
from motion_jax.data import records
from motion_jax.errors import UserError
from motion_jax.profiling import chips, compare, measure, profile, report
from motion_jax.profiling.options import ProfileOptions, split_settings


@pytest.fixture(scope="module", autouse=True)
def small_measurement_of_the_host():
    before = chips._MATRIX, chips._ARRAY
    chips._MATRIX, chips._ARRAY = 128, 1 << 14
    chips.measure_host.cache_clear()
    yield
    chips._MATRIX, chips._ARRAY = before
    chips.measure_host.cache_clear()


@pytest.fixture(scope="module")
def made(config_file, tmp_path_factory):
    """(result, folder) of a profile with made-up batches."""
    folder = tmp_path_factory.mktemp("profile")
    options = ProfileOptions(config=str(config_file), out=folder, hlo=True)
    return profile.profile(options, [], "motion-jax profile tiny"), folder


def test_the_time_adds_up(made):
    result, _ = made
    step = result["step"]
    shown = sum(row["seconds"] for row in result["rows"]) + step["idle_seconds"]
    assert shown == pytest.approx(step["traced_seconds"], rel=1e-6)
    assert step["seconds"] > 0 and step["images_per_second"] == 4 / step["seconds"]
    assert 0 <= step["input_wait"] <= 1
    busy = {row["network"] for row in result["rows"] if row["seconds"]}
    assert {"generator", "discriminator", "adam", "pose drawing"} <= busy
    nobody = sum(r["seconds"] for r in result["rows"] if r["network"] == "other")
    assert nobody < 0.5 * sum(r["seconds"] for r in result["rows"])


def test_the_arithmetic_adds_up(made, tiny):
    from motion_jax.profiling.topology import step_flops

    result, _ = made
    rows, step = result["rows"], result["step"]
    assert sum(row["flops"] for row in rows) == step["flops"] == step_flops(tiny, "global", 2)
    for name in ("bytes", "compiled_bytes"):
        assert sum(row[name] for row in rows) == step[name] > 0
    chip = result["chip"]
    assert step["mfu"] == pytest.approx(step["flops"] / step["seconds"] / chip["peak_flops_f32"])
    limit = sum(row["limit_seconds"] for row in rows)
    assert step["limit_seconds"] == pytest.approx(limit) and limit >= step["flop_limit_seconds"]
    for row in rows:
        least = max(row["flops"] / chip["peak_flops_f32"],
                    row["bytes"] / chip["bandwidth_bytes_s"])  # fmt: skip
        assert row["limit_seconds"] == pytest.approx(least)


def test_one_program_and_no_other_after_it(made):
    start = made[0]["start"]
    assert start["programs"]["step"] == 1 and start["programs"]["initial_state"] == 1
    assert start["recompilations"] == {}
    for name in ("cold", "warm"):
        parts = start[name]
        assert parts["state"] + parts["tracing"] + parts["compiling"] <= parts["total"]
        assert min(parts.values()) > 0


def test_memory_by_kind(made):
    kinds = made[0]["memory"]["kinds"]
    parameters = kinds["generator parameters"] + kinds["discriminator parameters"]
    # Adam keeps two moments of each parameter, and counters.
    assert 2 * parameters <= kinds["optimiser"] <= 2 * parameters + 64
    assert kinds["averaged parameters"] == kinds["generator parameters"]
    assert kinds["batch"] == 2 * 2 * (16 * 16 * 3 + 137 * 3 * 4 + 4 * 4)
    assert kinds["temporaries (activations, gradients)"] > 0


def test_the_files(made):
    result, folder = made
    assert json.loads((folder / "profile.json").read_text()) == result
    assert result["command"] == "motion-jax profile tiny" and result["config"] == "tiny"
    assert "ENTRY" in (folder / "step.hlo").read_text()
    assert (folder / "memory.pprof").stat().st_size > 0
    assert list((folder / "trace").rglob("*.xplane.pb"))
    assert list((folder / "trace").rglob("perfetto_trace.json.gz"))
    assert not list(folder.rglob("*.partial*"))


def test_the_page_is_whole_and_offline(made):
    text = (made[1] / "index.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|https?://(?!www\.w3\.org)|<script", text)
    for word in ("generator / block 0 / conv 1", "discriminator / scale 0 / layer 1", "G_GAN_Feat",
                 "adam / generator", "Roofline", "compiling the step", "optimiser",
                 "nothing under way", "MFU"):  # fmt: skip
        assert word in text, word
    assert "fusion." not in text and "None" not in text and "nan" not in text
    # Nothing is drawn outside its picture.
    drawing = re.search(r'<svg viewBox="0 0 640 360".*?</svg>', text, re.S)[0]
    for x, y in re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)"', drawing):
        assert 0 < float(x) < 640 and 0 < float(y) < 360


def test_the_terminal(made):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    report.print_profile(made[0], console)
    text = console.export_text()
    for word in ("Profile of tiny, global stage", "16x16, batch 2 x 2 frames, float32", "one step",
                 "By network", "pose drawing", "time to first step", "compilations after it",
                 "none", "Most time above"):  # fmt: skip
        assert word in text, word
    console.file.close()


def test_a_chip_that_the_table_does_not_know(made, tmp_path):
    unknown = made[0] | {
        "chip": None,
        "platform": "gpu",
        "device": "NVIDIA Something",
        "step": made[0]["step"] | {"mfu": None, "limit_seconds": None},
        "rows": [row | {"limit_seconds": None} for row in made[0]["rows"]],
    }
    report.write_page(unknown, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "NVIDIA Something" in text and "Roofline" not in text and "None" not in text


def test_a_trace_without_times(made, tmp_path, capsys):
    """A device whose instructions the profiler did not see."""
    step = made[0]["step"] | {"traced_seconds": None, "idle_seconds": None}
    rows = [row | {"seconds": None} for row in made[0]["rows"] if row["flops"] or row["bytes"]]
    result = made[0] | {"step": step, "rows": rows}
    report.write_page(result, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "holds no times of layers" in text and "None" not in text
    assert "generator / block 0 / conv 1" in text and "MFU" in text
    report.print_profile(result, Console(width=120))
    assert "holds no times of layers" in capsys.readouterr().out


# --- from a run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A run directory with a checkpoint, and its dataset beside it."""
    from motion_jax.train import run as runs
    from motion_jax.train.checkpoint import Checkpoints

    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    rows = [
        {"frame": random.integers(0, 255, (16, 16, 3), np.uint8), "clip": 0, "index": i,
         "keypoints": random.uniform(1, 15, (137, 3)).astype(np.float32), "time": i / 25,
         "face_box": np.zeros(4, np.float32)}
        for i in range(12)
    ]  # fmt: skip
    data = folder / "data"
    records.write_shard(records.shard_path(data, 0, 1), rows, 16, 16, "png")
    info = records.DatasetInfo(16, 16, ((0, 0, 0, 12),), ({"file": "a.mp4"},), picture="png")
    records.finish_dataset(data, info, [12])
    runs.write_description(
        folder / "run", tiny, records.open_dataset(data), "motion-jax train tiny"
    )
    state = tiny.recipe.init(jax.random.key(0), "global")
    state = state.replace(step=state.step + 2)
    record = {"stage": "global", "step": 2, "total_step": 2, "position": 4}
    with Checkpoints(folder / "run" / "checkpoints") as checkpoints:
        checkpoints.save(2, state, record)
        checkpoints.wait()
    return folder / "run"


def test_a_run_with_its_own_data(run, monkeypatch):
    seen = {}

    def fake(config, stage, batches, folder, make_state=None):
        seen["batch"], seen["state"], seen["trace"] = next(batches), make_state(), folder
        raise UserError("far enough")

    monkeypatch.setattr(profile, "measure", fake)
    with pytest.raises(UserError, match="far enough"):
        profile.profile(ProfileOptions(run=run))
    assert seen["batch"]["frames"].shape == (2, 2, 16, 16, 3)
    assert int(seen["state"].step) == 2
    assert seen["trace"] == run / "trace" / "global"


def test_bad_input_is_one_sentence(run, tmp_path, config_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = str(config_file)
    empty = tmp_path / "empty"
    shutil.copytree(run, empty)
    shutil.rmtree(empty / "checkpoints")
    moved = tmp_path / "moved" / "run"
    shutil.copytree(run, moved)
    (tmp_path / "no.json").write_text("{}")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "old.json").write_text('{"rows": [], "step": {}, "memory": {}, "format": 0}')
    for options, settings, sentence in [
        (ProfileOptions(), [], "takes either a config or run"),
        (ProfileOptions(config=config, run=run), [], "takes either a config or run"),
        (ProfileOptions(config="dmo"), [], "no config dmo.*did you mean demo"),
        (ProfileOptions(config=config, stage="lokal"), [], "no stage 'lokal'; it has global"),
        (ProfileOptions(run=tmp_path), [], "not a run directory"),
        (ProfileOptions(run=empty), [], "no checkpoint yet"),
        (ProfileOptions(run=moved), [], "no longer at .*say where it is with data"),
        (ProfileOptions(config=config, data=tmp_path / "x"), [], "x"),
        (ProfileOptions(config=config, data=run, topology="v5e:1x1"), [], "takes no data"),
        (ProfileOptions(config=config, batch=-1), [], "batch_size must be at least 1"),
        (ProfileOptions(config=config), ["--recipe.generater.ngf", "3"], "did you mean"),
        (ProfileOptions(config=config), ["--topologie", "v5e:1x1"], "did you mean --topology"),
        (ProfileOptions(config=config), ["extra"], "one argument too many"),
        (ProfileOptions(config=config, compare=(run, run)), [], "two profiles and nothing else"),
        (ProfileOptions(compare=(run, run)), [], "no profile .*run/profile.json"),
        (ProfileOptions(compare=(tmp_path / "no.json", run)), [], "no profile of motion-jax"),
        (ProfileOptions(compare=(tmp_path / "bad.json", run)), [], "is no profile"),
        (ProfileOptions(compare=(tmp_path / "old.json", run)), [], "another version"),
    ]:
        with pytest.raises(UserError, match=sentence) as caught:
            profile.profile(options, settings)
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "bad.json", "empty", "moved", "no.json", "old.json"
    ]  # fmt: skip


def test_settings_change_the_config(config_file):
    options = ProfileOptions(config=str(config_file), batch=6)
    task = profile._task(options, ["--recipe.dtype", "bfloat16"])
    assert task.config.recipe.dtype == "bfloat16"
    assert task.config.recipe.global_stage.batch_size == 6
    assert str(task.folder) == "out/profile/tiny-global"


def test_settings_are_not_taken_for_a_config():
    split = split_settings
    given = ["--run", "a.b", "--recipe.dtype", "bfloat16", "--json", "--seed=3"]
    assert split(given) == (["--run", "a.b", "--json"], given[2:4] + ["--seed=3"])
    assert split(["demo", "--recipe.rematerialise"]) == (["demo"], ["--recipe.rematerialise"])


def test_the_command_prints_json_alone(made, config_file, monkeypatch, capsys):
    monkeypatch.setattr("motion_jax.cli.environment.settle", lambda: None)
    monkeypatch.setattr(profile, "profile", lambda options, rest, line: {"line": line} | made[0])
    cli.main(["profile", str(config_file), "--json"])
    assert json.loads(capsys.readouterr().out)["line"] == f"motion-jax profile {config_file} --json"


# --- two profiles ------------------------------------------------------------------------------


@pytest.fixture
def grown(made, tmp_path):
    """A profile in which one layer takes longer, another has gone and memory grew."""
    result = json.loads(json.dumps(made[0]))
    row = next(r for r in result["rows"] if r["layer"] == "last" and r["backward"])
    row["seconds"] += 0.5
    gone = next(r for r in result["rows"] if r["network"] == "averaging")
    result["rows"].remove(gone)
    result["step"]["seconds"] += 0.5
    result["memory"]["kinds"]["optimiser"] += 1000
    result["settings"]["recipe"]["generator"]["ngf"] = 8
    files.write_json(tmp_path / "after" / "profile.json", result)
    return tmp_path / "after"


def test_a_comparison_names_what_grew(made, grown, tmp_path, capsys):
    before = made[1]
    options = ProfileOptions(compare=(before, grown), out=tmp_path / "compared")
    result = profile.profile(options)
    first = result["changes"]["seconds"][0]
    assert first["scope"] == "generator / last (backward)"
    assert first["change"] == pytest.approx(0.5)
    assert result["changes"]["bytes"][-1]["scope"] == "averaging"
    assert result["changes"]["flops"] == []
    old, new = result["memory"]["optimiser"]
    assert new - old == 1000
    assert "recipe.generator.ngf: 4 → 8" in result["differences"]
    said = compare.verdict(result)
    assert "generator / last (backward) grew" in said
    console = Console(width=120)
    compare.print_comparison(result, console)
    text = capsys.readouterr().out
    assert "generator / last (backward)" in text and "optimiser" in text and said[:20] in text
    page = (tmp_path / "compared" / "index.html").read_text()
    assert "generator / last (backward)" in page and "http" not in page
    assert json.loads((tmp_path / "compared" / "compare.json").read_text()) == result
    shrunk = compare.compare(compare.read_profile(grown), compare.read_profile(before))
    assert "generator / last (backward) shrank" in compare.verdict(shrunk)


def test_a_profile_compared_with_itself(made):
    same = compare.compare(*[compare.read_profile(made[1])] * 2)
    assert not any(same["changes"].values()) and same["differences"] == []
    assert "+0.0 %" in compare.verdict(same)


def test_profiles_of_different_kinds_are_not_compared(made, tmp_path):
    files.write_json(tmp_path / "profile.json", made[0] | {"time": "compiler's estimate"})
    with pytest.raises(UserError, match="cannot be compared: their time is"):
        profile.profile(ProfileOptions(compare=(made[1], tmp_path)))


# --- compilations ------------------------------------------------------------------------------


def test_three_steps_compile_once(tiny):
    from motion_jax.devices import mesh as meshes
    from motion_jax.train.step import compiled_step

    mesh = meshes.of_stage(tiny.devices, tiny.recipe.stages()["global"], "global")
    with measure.Compilations() as done:
        state = measure.initial_state(tiny, "global", mesh)
        step = compiled_step(tiny, "global", mesh)
        batches = measure.synthetic_batches(tiny, "global")
        for _ in range(3):
            state, metrics = step(state, meshes.place(next(batches), mesh), {})
        jax.block_until_ready(metrics)
    assert done.names["step"] == 1


def test_transfers_of_two_lengths_compile_once(tiny):
    from motion_jax.train.synthesis import Synthesizer

    params = tiny.recipe.init(jax.random.key(0), "global").params
    keypoints = measure.synthetic_batch(
        replace(tiny, recipe=replace(tiny.recipe, global_stage=replace(
            tiny.recipe.global_stage, batch_size=5))), "global"
    )["keypoints"].reshape(-1, 137, 3)  # fmt: skip
    synthesizer = Synthesizer(tiny.recipe, "global", params, chunk=4)
    with measure.Compilations() as done:
        for count in (3, 7, 10):
            synthesizer.reset()
            seen = tiny.recipe.seen({"keypoints": keypoints[:count]})
            assert synthesizer.feed(seen).shape == (count, 16, 16, 3)
    assert done.names["synthesize"] == 1
