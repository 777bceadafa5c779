"""Whole tiny runs: what they leave, that stopping changes nothing, and what is refused."""

import json
import shutil
import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.cli.signals import Signals
from motion_jax.config import Data, Guard, to_json
from motion_jax.errors import UserError
from motion_jax.events import Interrupted, now
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.folder import exclusive_use
from motion_jax.train.guard import Collapsed
from motion_jax.train.loop import train
from motion_jax.train.record import NotFinite, Recorder, read_metrics
from motion_jax.train.step import abstract_state
from motion_jax.video.reader import probe

LOSSES = {"G_GAN", "G_GAN_Feat", "G_L1", "D_real", "D_fake"}
TOTAL = 12
NOT_COMPARED = {"seconds", "images_per_second", "input_wait"}  # clocks


def copy_of(trained, target, steps):
    """What a kill after `steps` would have left: no later checkpoint, but later rows of metrics."""
    shutil.copytree(trained, target)
    for checkpoint in (target / "checkpoints").iterdir():
        if checkpoint.name.isdigit() and int(checkpoint.name) > steps:
            shutil.rmtree(checkpoint)
    return target


def state_of(config, folder):
    """The final state, optimiser and all, on the host."""
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest() == TOTAL
        record = checkpoints.record(TOTAL)
        assert record["config"] == to_json(config)
        assert record["seconds"] > 0 and 0 <= record["checksum"] < 2**32
        assert {name: record[name] for name in ("stage", "step", "total_step", "position")} == {
            "stage": "face", "step": 4, "total_step": TOTAL, "position": 8
        }  # fmt: skip
        assert record["images"] == 4 * TOTAL
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.restore(TOTAL, abstract_state(config, "face", sharding))


def rows_of(folder):
    """Rows of metrics by step, without what a clock says."""
    return {
        row["total_step"]: {k: v for k, v in row.items() if k not in NOT_COMPARED}
        for row in read_metrics(folder)
    }


def assert_same_run(config, one, other):
    a, b = state_of(config, one), state_of(config, other)
    assert parameter_hash(a.params) == parameter_hash(b.params)
    assert parameter_hash(a.averaged) == parameter_hash(b.averaged)
    assert parameter_hash(a.optimizer) == parameter_hash(b.optimizer)
    assert (jax.random.key_data(a.key) == jax.random.key_data(b.key)).all()
    assert rows_of(one) == rows_of(other)
    assert [row["total_step"] for row in read_metrics(other)] == list(range(1, TOTAL + 1))


def test_a_run_directory_holds_what_is_needed(trained, config, dataset):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json", "command.txt", "versions.json", "dataset.json", "metrics.jsonl",
        "tensorboard", "samples", "checkpoints", "report",
    }  # fmt: skip
    assert json.loads((trained / "config.json").read_text())["recipe"]["type"] == config.recipe.name
    assert (trained / "command.txt").read_text() == "motion-jax train tiny\n"
    versions = json.loads((trained / "versions.json").read_text())
    assert versions["jax"] == jax.__version__ and versions["devices"]
    described = json.loads((trained / "dataset.json").read_text())
    assert (trained / described["path"]).resolve() == dataset.resolve()
    assert described["frames"] == 24 and described["target_statistics"]
    rows = read_metrics(trained)
    assert [row["stage"] for row in rows] == ["global"] * 4 + ["local"] * 4 + ["face"] * 4
    assert [row["step"] for row in rows] == [1, 2, 3, 4] * 3
    assert [row["images"] for row in rows] == [4 * n for n in range(1, TOTAL + 1)]
    for row in rows:
        assert set(row) >= LOSSES and 0 <= row["input_wait"] <= 1 and row["images_per_second"] > 0
        assert ("G_GANface" in row) == (row["stage"] == "face")
    assert [row["learning_rate"] for row in rows[:4]] == [2e-4] * 3 + [1e-4]
    assert list((trained / "tensorboard").glob("events.*"))
    for step, size in ((4, 16), (8, 32), (12, 32)):
        assert (trained / "samples" / f"step-{step:07d}.png").stat().st_size > 0
        info = probe(trained / "samples" / f"step-{step:07d}.mp4")
        assert info.frames == 5 and info.height >= size
    kept = {path.name for path in (trained / "checkpoints").iterdir() if path.name.isdigit()}
    assert kept == {"2", "4", "6", "8", "10", "12"}
    page = (trained / "report" / "index.html").read_text()
    assert "step-0000012" in page and "G_L1" in page and "D_fake" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_training_moved_what_each_stage_trains(trained, config):
    rows = read_metrics(trained)
    assert all(np.isfinite([row[name] for name in LOSSES]).all() for row in rows)
    assert rows[3]["G_L1"] < rows[0]["G_L1"]
    state = state_of(config, trained)
    assert set(state.optimizer) == {"face_generator", "face_discriminator"}
    with Checkpoints(trained / "checkpoints", read_only=True) as checkpoints:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        local = checkpoints.restore(8, abstract_state(config, "local", sharding))
    # The face stage froze the local stage's averaged generator.
    assert parameter_hash(state.params["generator"]) == parameter_hash(local.averaged["generator"])


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(
    tmp_path, trained, config, dataset, monkeypatch, capsys
):
    """Ctrl-C in the middle of the local stage, between two checkpoints, with metrics pending."""
    folder, traces = tmp_path / "run", []
    noted, step = Recorder.step, EverybodyDanceNow.train_step

    def interrupt(self, number, metrics, rate):
        noted(self, number, metrics, rate)
        if self.offset + number == 7:
            signal.raise_signal(signal.SIGINT)

    def traced(self, state, batch, name, frozen, kind):
        traces.append(name)
        return step(self, state, batch, name, frozen, kind)

    monkeypatch.setattr(Recorder, "step", interrupt)
    monkeypatch.setattr(EverybodyDanceNow, "train_step", traced)
    before = signal.getsignal(signal.SIGINT)
    signals = Signals(now().observer)
    with pytest.raises(Interrupted, match="SIGINT after step 3 of the local stage; saved"):
        train(config, dataset, folder, command="one", observer=signals, stop=signals.stop)
    assert signals.status(75) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert traces == ["global", "local"], "each stage's step is traced once"
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest() == 7
    assert [row["total_step"] for row in read_metrics(folder)] == list(range(1, 8))
    monkeypatch.setattr(Recorder, "step", noted)
    capsys.readouterr()
    train(config, dataset, folder, command="two")
    assert "Going on from step 3 of the local stage" in capsys.readouterr().err
    assert traces == ["global", "local", "local", "face"]
    assert_same_run(config, trained, folder)
    assert (folder / "command.txt").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("steps", [8, 10])
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, trained, config, dataset, steps):
    """Between two stages, and in the middle of one; rows after the checkpoint are done again."""
    folder = copy_of(trained, tmp_path / "run", steps)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"total_step": 13, "sta')  # a line that was cut short
    train(config, dataset, folder, command="again")
    assert_same_run(config, trained, folder)


def test_a_finished_run_has_nothing_left_to_do(tmp_path, trained, config, dataset, capsys):
    folder = copy_of(trained, tmp_path / "run", TOTAL)
    # What is recorded, and how often, may differ.
    changed = replace(config, record=replace(config.record, log_every=7))
    train(changed, dataset, folder, command="again")
    assert "trained to its last step (12); nothing is left to do" in capsys.readouterr().err
    assert rows_of(folder) == rows_of(trained)


def test_another_config_or_dataset_is_refused_and_nothing_touched(
    tmp_path, trained, config, dataset, write_dataset
):
    folder = copy_of(trained, tmp_path / "run", TOTAL)
    before = {path: path.read_bytes() for path in folder.glob("*.*")}
    other = replace(config, seed=5, data=Data(holdout=0.5))
    with pytest.raises(UserError, match=r"another config \(data.holdout: 0.25 -> 0.5; seed: 0"):
        train(other, dataset, folder)
    with pytest.raises(UserError, match="was trained on another dataset"):
        train(config, write_dataset(tmp_path / "data", seed=1), folder)
    assert {path: path.read_bytes() for path in folder.glob("*.*")} == before


def test_foreign_folders_are_refused_and_left_alone(tmp_path, config, dataset):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.txt").write_text("mine")
    with pytest.raises(UserError, match=r"photos is not empty and no run.*\(a.txt is in it\)"):
        train(config, dataset, folder)
    (folder / "a.txt").rename(folder / "config.json")
    for content in ("mine", "[1]", "{}", '{"model_type": "other", "recipe": {}}'):
        (folder / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json"):
            train(config, dataset, folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        train(config, dataset, tmp_path / "file")


def test_datasets_that_do_not_fit_are_refused_before_anything_is_made(
    tmp_path, config, dataset, write_dataset
):
    folder = tmp_path / "run"
    recipe = config.recipe
    long = replace(recipe, global_stage=replace(recipe.global_stage, window=30))
    with pytest.raises(UserError, match="shorter than needed: no clip leaves 30 consecutive"):
        train(replace(config, recipe=long), dataset, folder)
    large = replace(recipe, global_stage=replace(recipe.global_stage, width=64, height=64))
    with pytest.raises(UserError, match="has frames of 32x32, the config wants 64x64"):
        train(replace(config, recipe=large), dataset, folder)
    faceless = write_dataset(tmp_path / "faceless", faces=False)
    with pytest.raises(UserError, match="No frame of .*faceless shows a face.*steps 0"):
        train(config, faceless, folder)
    other = json.loads((faceless / "metadata.json").read_text()) | {"skeleton": "stick_5"}
    (faceless / "metadata.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="has the skeleton 'stick_5'"):
        train(config, faceless, folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("rate", "due", "sentence"),
    [
        (1e30, 2, "loss .* became .* at step 4 of the global stage"),
        (np.inf, 3, "parameters of the .* became nan at step 3 of the global stage"),
    ],
)
def test_a_loss_that_is_no_number_stops_the_run_and_is_never_saved(
    tmp_path, trained, config, dataset, monkeypatch, rate, due, sentence
):
    """From a good checkpoint on: 1e30 makes the next loss infinite; an infinite one the weights
    themselves, before any loss shows it."""
    folder = copy_of(trained, tmp_path / "run", 2)
    monkeypatch.setattr(EverybodyDanceNow, "learning_rate", lambda self, name, step: rate)
    config = replace(config, record=replace(config.record, checkpoint_every=due))
    with pytest.raises(NotFinite, match=sentence) as error:
        train(config, dataset, folder)
    text = str(error.value)
    assert f"the last good checkpoint is {folder / 'checkpoints' / '2'}" in text
    assert "learning_rate" in text
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest() == 2
    # What JSON cannot say is kept as text.
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_of_damaged_checkpoints_the_one_before_is_taken(tmp_path, trained, config, dataset, capsys):
    """One with wrong bytes in its arrays, one with a flipped bit; and none that is whole."""
    folder = copy_of(trained, tmp_path / "run", 6)
    checkpoints = folder / "checkpoints"
    arrays = max((checkpoints / "6" / "state").rglob("d/*"), key=lambda path: path.stat().st_size)
    content = arrays.read_bytes()
    arrays.write_bytes(content[:1000] + bytes(64) + content[1064:])
    record = checkpoints / "4" / "record" / "metadata"
    value = json.loads(record.read_text())
    record.write_text(json.dumps(value | {"checksum": value["checksum"] ^ 1}))
    train(config, dataset, folder)
    said = capsys.readouterr().err
    assert "6 cannot be restored" in said and "4 cannot be restored" in said
    assert "contents are not what was saved" in said and "from step 2 of the global stage" in said
    assert {path.name for path in checkpoints.iterdir()} >= {"4.damaged", "6.damaged", "4", "6"}
    assert_same_run(config, trained, folder)

    folder = copy_of(trained, tmp_path / "hopeless", 2)
    shutil.rmtree(folder / "checkpoints" / "2" / "record")
    with pytest.raises(UserError, match=r"checkpoint .*2 cannot be restored.*remove that folder"):
        train(config, dataset, folder)
    assert (folder / "checkpoints" / "2").is_dir()


def test_a_full_disk_is_one_sentence(tmp_path, config, dataset, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    from motion_jax.train.checkpoint import ocp

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    with pytest.raises(UserError, match="disk is full: .*checkpoints could not be written"):
        train(config, dataset, tmp_path / "run")


def test_saves_and_logs_that_fail_stop_nothing_and_are_tried_again(
    tmp_path, trained, config, dataset, monkeypatch, capsys
):
    """The disk is full for a while: at two checkpoints, one of which fails in the background, at
    some rows of metrics, at samples and the page."""
    import errno

    from motion_jax.train import journal
    from motion_jax.train.checkpoint import ocp
    from motion_jax.train.samples import Sampler

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    save, wait = ocp.CheckpointManager.save, ocp.CheckpointManager.wait_until_finished
    append, failed = journal.Journal._append, []

    def save_sometimes(self, step, *arguments, **options):
        return full() if step == 4 else save(self, step, *arguments, **options)

    def wait_sometimes(self):
        wait(self)
        if 6 in self.all_steps() and 6 not in failed:
            failed.append(6)
            shutil.rmtree(self.directory / "6")
            self.reload()
            full()

    def append_sometimes(self, text):
        return (
            full()
            if '"total_step": 5' in text and '"total_step": 7' not in text
            else append(self, text)
        )

    monkeypatch.setattr(ocp.CheckpointManager, "save", save_sometimes)
    monkeypatch.setattr(ocp.CheckpointManager, "wait_until_finished", wait_sometimes)
    monkeypatch.setattr(journal.Journal, "_append", append_sometimes)
    monkeypatch.setattr(Sampler, "_write", full)
    folder = tmp_path / "run"
    train(config, dataset, folder)
    said = capsys.readouterr().err
    assert said.count("The disk is full") == 2 and "tries again at the next checkpoint" in said
    assert "metrics.jsonl cannot be written" in said and "samples could not be written" in said
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"2", "8", "10", "12"}
    assert_same_run(config, trained, folder)


def one_stage(config, **guard):
    recipe = config.recipe
    none = replace(recipe.local_stage, steps=0)
    return replace(
        config,
        recipe=replace(recipe, local_stage=none, face_stage=none),
        guard=Guard(on_failure="lower", **guard),
    )


def test_after_a_nan_the_rate_is_lowered_once(tmp_path, config, dataset, monkeypatch, capsys):
    """The third step's rate is absurd, until the guard has lowered it; back from the checkpoint of
    the second step."""
    whole = EverybodyDanceNow.learning_rate

    def absurd(self, name, step):
        if self.global_stage.learning_rate < 2e-4 and not always:
            return whole(self, name, step)
        return jnp.where(step >= 2, 1e30, whole(self, name, step))

    always = False
    monkeypatch.setattr(EverybodyDanceNow, "learning_rate", absurd)
    config, folder = one_stage(config, factor=0.25), tmp_path / "run"
    train(config, dataset, folder)
    said = capsys.readouterr().err
    assert "became" in said and "going back to the last good checkpoint" in said
    assert "Going on from step 2 of the global stage" in said
    rows = read_metrics(folder)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["learning_rate"] for row in rows] == [2e-4, 2e-4, 5e-5, 2.5e-5]
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.record(4)["lowered"] == {"stage": "global", "factor": 0.25}
        assert checkpoints.record(2)["lowered"] is None
    # What was lowered stays so in a later process.
    shutil.rmtree(folder / "checkpoints" / "4")
    always = True
    with pytest.raises(NotFinite, match="became"):
        train(config, dataset, folder)
    assert capsys.readouterr().err.count("going back") == 1, "once, and then it stops"


def test_a_collapsed_discriminator_goes_back_and_then_stops(tmp_path, config, dataset, capsys):
    config = one_stage(config, collapsed_below=1e9, collapsed_steps=2, every=1)
    with pytest.raises(Collapsed, match="together below 1e[+]09 from step 1 to 3"):
        train(config, dataset, tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("going back to the last good checkpoint") == 1


def test_two_trainings_of_one_folder_are_refused(tmp_path):
    with (
        exclusive_use(tmp_path),
        pytest.raises(UserError, match="Another motion-jax train is using"),
        exclusive_use(tmp_path),
    ):
        pass
    with exclusive_use(tmp_path):
        pass
