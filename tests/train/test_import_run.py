"""Experiments of the original programs as runs: what arrives, works, is trained on, is refused."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax import cli
from motion_jax.config import from_json, to_json
from motion_jax.errors import UserError
from motion_jax.nets.initial import initialise
from motion_jax.port import import_pix2pix, load_network
from motion_jax.port.contents import look_into
from motion_jax.port.experiment import read_experiment
from motion_jax.port.export_run import export
from motion_jax.port.import_edn import WARMUP_STEPS
from motion_jax.port.import_run import import_run
from motion_jax.port.inspect import comparison
from motion_jax.port.network import Network, save_torch
from motion_jax.port.options import ExportOptions, ImportOptions
from motion_jax.port.reference import network_from_description
from motion_jax.port.run_state import all_params
from motion_jax.recipes.crops import crop_corners
from motion_jax.recipes.pixels import to_uint8
from motion_jax.train import imported
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import frame_times
from motion_jax.weights.architecture import STATISTICS
from motion_jax.weights.torch import read_pth, write_pth

GENERATOR = {"class": "GlobalGenerator", "input_nc": 6, "output_nc": 3, "ngf": 4,
             "n_downsampling": 1, "n_blocks": 1}  # fmt: skip
DISCRIMINATOR = {"class": "MultiscaleDiscriminator", "input_nc": 12, "ndf": 4, "n_layers": 1,
                 "num_D": 1, "intermediate_features": True}  # fmt: skip


def network(description, seed=0):
    """A network as the original program would have initialised it, only stronger."""
    module, _ = network_from_description(description)
    x = jnp.zeros((1, 16, 16, description["input_nc"]))
    params = jax.jit(lambda key: initialise(module, key, x))(jax.random.key(seed))
    params = jax.tree.map(lambda leaf: 3 * leaf, params)
    return Network(description["class"], module, params, description)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A global stage of tiny networks: latest and epoch 20."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    folder.mkdir()
    for seed, epoch in enumerate(("latest", "20")):
        save_torch(network(GENERATOR, seed), folder / f"{epoch}_net_G.pth")
        save_torch(network(DISCRIMINATOR, seed), folder / f"{epoch}_net_D.pth")
    return folder


def record_of(folder):
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.record(checkpoints.latest())


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, {"params": tree["params"]}, dict(other))


# --- what arrives ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "stage", "names"),
    [
        ("train_temporal.final", "global", {"G", "D"}),
        ("train_local_enhancer.final", "local", {"G", "D"}),
        ("train_face.final", "face", {"G", "D", "Gface", "Dface"}),
    ],
)
def test_genuine_experiments_become_runs(shared, tmp_path, capsys, epoch, stage, names):
    source = shared / "parity" / "everybody-dance-now"
    options = ImportOptions(source=source, run=tmp_path / "run", epoch=epoch, size="64x64")
    import_run(options, "motion-jax import")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json", "versions.json", "command.txt", "checkpoints",
    }  # fmt: skip
    run, params = all_params(tmp_path / "run")
    assert (run.stage, run.step, run.size, run.dataset) == (stage, 0, (64, 64), {})
    ours = {"G": "generator", "D": "discriminator", "Gface": "face_generator",
            "Dface": "face_discriminator"}  # fmt: skip
    assert set(params) == {ours[name] for name in names}
    record = record_of(run.folder)
    assert record["imported"]["epoch"] == epoch and set(record["imported"]["files"]) == names
    for name in names:
        path = source / f"{epoch}_net_{name}.pth"
        assert record["imported"]["files"][name]["file"] == path.name
        assert_same(load_network(path, {"netG": "global"} if stage == "face" else {}).params
                    if name.startswith("G") and stage == "face" else load_network(path).params,
                    params[ours[name]])  # fmt: skip
    # Adam is at its beginning.
    with Checkpoints(run.folder / "checkpoints", read_only=True) as checkpoints:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        state = checkpoints.restore(0, abstract_state(run.config, stage, sharding))
    assert set(state.optimizer) == set(run.config.recipe.trained(stage))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(state.optimizer))
    style = run.config.recipe.pose_style
    assert (style.stroke, style.body, style.face_points) == (1.0, "body23", 8)
    assert run.config.recipe.stages()[stage].warmup_steps == WARMUP_STEPS
    said = capsys.readouterr().err.replace("\n", " ")
    assert "starts Adam fresh, with a warm-up" in said and "--normalize none" in said


@pytest.mark.parametrize("keys", ["model", "facemodel"])
def test_the_face_discriminators_keys_come_back(shared, tmp_path, capsys, keys):
    source, epoch = shared / "parity" / "everybody-dance-now", "train_face.final"
    folder = tmp_path / "experiment"
    folder.mkdir()
    for name in ("G", "D", "Gface", "Dface"):
        weights = read_pth(source / f"{epoch}_net_{name}.pth")
        if name == "Dface":
            weights = {f"{keys}.{key.partition('.')[2]}": value for key, value in weights.items()}
        write_pth(folder / f"latest_net_{name}.pth", weights)
    run = import_run(ImportOptions(source=folder, run=tmp_path / "run", size="64x64"))
    export(ExportOptions(run=run, out=tmp_path / "out"))
    before = read_pth(folder / "latest_net_Dface.pth")
    after = read_pth(tmp_path / "out" / "latest_net_Dface.pth")
    assert {key.partition(".")[0] for key in after} == {keys}
    same = {key for key in after if not key.endswith(STATISTICS)}
    assert same == {key for key in before if not key.endswith(STATISTICS)}
    assert all(np.array_equal(before[key], after[key]) for key in same)
    result = comparison(look_into(run), look_into(folder / "latest_net_Dface.pth"))
    (network,) = result["networks"].values()
    assert network["identical"] and not network["architecture"]
    # Files that were exported are imported as the same.
    again = import_run(ImportOptions(source=tmp_path / "out", run=tmp_path / "again"))
    assert load_run(again).config.recipe.face.discriminator_keys == keys


HD = {"G": GENERATOR | {"input_nc": 3}, "D": DISCRIMINATOR | {"input_nc": 6}}


@pytest.mark.parametrize("recipe", ["pix2pixhd", "pix2pix", "cyclegan"])
def test_other_systems_become_runs_of_their_recipes_and_go_back(shared, tmp_path, recipe, capsys):
    source, epoch = shared / "parity" / "cyclegan-and-pix2pix", f"train_{recipe}.final"
    if recipe == "pix2pixhd":
        source, epoch = tmp_path / "hd", "latest"
        source.mkdir()
        for name, description in HD.items():
            save_torch(network(description), source / f"latest_net_{name}.pth")
    options = ImportOptions(source=source, run=tmp_path / "run", epoch=epoch, size="64x64")
    run = load_run(import_run(options))
    assert run.config.recipe.name == recipe
    assert run.config.recipe.stages()[run.stage].warmup_steps == WARMUP_STEPS
    names = {"cyclegan": ("G_A", "G_B", "D_A", "D_B")}.get(recipe, ("G", "D"))
    assert set(record_of(run.folder)["imported"]["files"]) == set(names)
    export(ExportOptions(run=run.folder, out=tmp_path / "out"))
    for name in names:
        before = read_pth(source / f"{epoch}_net_{name}.pth")
        after = read_pth(tmp_path / "out" / f"latest_net_{name}.pth")
        assert set(before) == set(after)
        for key, value in before.items():
            np.testing.assert_array_equal(value, after[key], err_msg=key)
    # Small networks, which the original does not build by a name.
    said = "The original program knows no --netG" in capsys.readouterr().err.replace("\n", " ")
    assert said == (recipe != "pix2pixhd")
    # The options that were written are those of the files.
    again = ImportOptions(source=tmp_path / "out", run=tmp_path / "again")
    again = load_run(import_run(again)).config.recipe
    assert (again.generator, again.discriminator, again.losses) == (
        run.config.recipe.generator, run.config.recipe.discriminator, run.config.recipe.losses,
    )  # fmt: skip


def test_options_of_pix2pix_are_heeded(shared, tmp_path):
    for name in ("G", "D"):
        path = shared / "parity" / "cyclegan-and-pix2pix" / f"train_pix2pix.final_net_{name}.pth"
        (tmp_path / f"latest_net_{name}.pth").write_bytes(path.read_bytes())
    (tmp_path / "train_opt.txt").write_text(
        "       crop_size: 64 \t[default: 256]\n  gan_mode: lsgan\n lambda_L1: 30.0\n lr: 0.0001\n"
    )
    recipe = import_pix2pix.plan(read_experiment(tmp_path), None).config.recipe
    assert (recipe.losses.gan, recipe.losses.l1) == ("lsgan", 30.0)
    assert (recipe.main_stage.height, recipe.main_stage.learning_rate) == (64, 1e-4)


def test_frames_are_those_of_the_networks_applied_by_hand(shared, tmp_path, capsys, optimised):
    source = shared / "parity" / "everybody-dance-now"
    run = load_run(import_run(ImportOptions(
        source=source, run=tmp_path / "run", epoch="train_face.final", size="64x64", face_size=32,
    )))  # fmt: skip
    random = np.random.default_rng(0)
    keypoints = np.zeros((4, 137, 3), np.float32)
    keypoints[:, :25, :2], keypoints[:, :25, 2] = random.random((4, 25, 2)) * 60, 1.0
    boxes = np.array([[4, 10, 20, 30], [5, 11, 21, 31], [0, 0, 0, 0], [40, 50, 60, 62]], np.float32)
    frames = run.synthesizer().feed({"poses": keypoints, "face_boxes": boxes})
    main, face = (
        load_network(source / f"train_face.final_net_{name}.pth", {"netG": "global"})
        for name in ("G", "Gface")
    )
    previous = np.zeros((1, 64, 64, 3), np.float32)
    corners, seen = crop_corners(jnp.asarray(boxes), 32, 64, 64)
    for i, frame in enumerate(frames):
        pose = np.asarray(run.config.recipe.draw(keypoints[i], 64, 64))[None]
        previous = np.array(main(np.concatenate([pose, previous], axis=-1)))
        if seen[i]:
            top, left = map(int, corners[i])
            at = np.s_[:, top : top + 32, left : left + 32]
            previous[at] += np.asarray(face(np.concatenate([pose[at], previous[at]], axis=-1)))
        by_hand = np.asarray(to_uint8(jnp.asarray(previous[0])))
        assert np.abs(frame.astype(int) - by_hand).max() <= 1
        assert np.mean(frame == by_hand) > 0.99 and np.ptp(frame) > 50


def test_transfer_needs_the_target_only_to_fit_it(experiment, tmp_path):
    from motion_jax import puppet

    run = import_run(ImportOptions(source=experiment, run=tmp_path / "run", size="32x32"))
    video, poses = puppet.make_video(
        tmp_path, puppet.CHARACTERS["ada"], puppet.dance(5, 25, 1), 64, 64
    )
    options = TransferOptions(
        run=run, source=video, poses=poses, out=tmp_path / "out.mp4", normalize="none"
    )
    transfer(options)
    assert len(frame_times(options.out)) == 5
    with pytest.raises(UserError, match="imported without a dataset.*normalize none"):
        transfer(replace(options, normalize="global", out=tmp_path / "other.mp4"))
    with pytest.raises(UserError, match="joints seen needs to know how far the target's joints"):
        transfer(replace(options, joints="seen", out=tmp_path / "other.mp4"))
    assert not (tmp_path / "other.mp4").exists()
    with pytest.raises(UserError, match="imported without a dataset; name one with data"):
        _ = load_run(run).data_path


def test_epochs_files_and_options(experiment, tmp_path, capsys):
    run = import_run(ImportOptions(source=experiment, run=tmp_path / "a", epoch="20"))
    assert load_run(run).size == (256, 512)
    assert "published one; another is given with --size" in capsys.readouterr().err
    assert_same(network(GENERATOR, 1).params, all_params(run)[1]["generator"])
    with pytest.raises(UserError, match="no weights of epoch '7'.* one of 20, latest"):
        import_run(ImportOptions(source=experiment, run=tmp_path / "b", epoch="7"))
    # One file: its discriminator is begun anew, and that is said.
    run = import_run(ImportOptions(source=experiment / "latest_net_G.pth", run=tmp_path / "c"))
    assert set(record_of(run)["imported"]["files"]) == {"G"}
    said = capsys.readouterr().err.replace("\n", " ")
    assert "no file of the discriminator: training begins with a fresh one" in said
    assert not (tmp_path / "b").exists()


def test_two_halvings_are_told_apart_by_the_discriminator(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    """The weights of such a GlobalGenerator could be those of CycleGAN's generator."""
    for name, description in (("G", GENERATOR | {"n_downsampling": 2}), ("D", DISCRIMINATOR)):
        save_torch(network(description), source / f"latest_net_{name}.pth")
    run = load_run(import_run(ImportOptions(source=source, run=tmp_path / "run", size="32x32")))
    assert run.config.recipe.name == "everybody_dance_now"
    assert run.config.recipe.generator.n_downsampling == 2


def test_sizes_come_from_options_and_data(experiment, dataset, tmp_path):
    options = "loadSize: 128\nresize_or_crop: scale_width\nnetG: global\nngf: 4\n"
    folder = tmp_path / "with_options"
    folder.mkdir()
    for path in experiment.glob("latest*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "opt.txt").write_text(options)
    run = load_run(import_run(ImportOptions(source=folder, run=tmp_path / "a")))
    assert run.size == (64, 128)
    run = load_run(import_run(ImportOptions(source=folder, run=tmp_path / "b", data=dataset)))
    assert run.size == (32, 32) and run.dataset["frames"] == 24
    # A size that the data can be reduced to stays the network's.
    (folder / "opt.txt").write_text("motion_jax: " + json.dumps(
        {"width": 16, "height": 16, "pose_style": {"stroke": 2.0}}
    ))  # fmt: skip
    half = load_run(import_run(ImportOptions(source=folder, run=tmp_path / "c", data=dataset)))
    assert half.size == (16, 16) and half.config.recipe.pose_style.stroke == 2.0
    assert run.dataset["target_statistics"] and run.data_path.resolve() == dataset.resolve()


def test_a_run_is_the_beginning_of_another(trained, dataset, tmp_path):
    run, params = all_params(import_run(ImportOptions(source=trained, run=tmp_path / "run")))
    before, expected = all_params(trained)
    assert (run.stage, run.step) == ("face", 0)
    assert to_json(run.config) == to_json(before.config)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert record_of(run.folder)["imported"]["run"]["step"] == before.step


# --- going on -------------------------------------------------------------------------------------

SETTINGS = [
    "--recipe.global-stage.steps", "4", "--recipe.global-stage.decay-steps", "0",
    "--recipe.global-stage.warmup-steps", "4", "--recipe.losses.perceptual", "none",
    "--recipe.losses.l1", "10", "--data.holdout", "0.25", "--record.log-every", "1",
    "--record.no-trace", "--recipe.averaging", "0.9",
]  # fmt: skip


@pytest.fixture(scope="module")
def fine_tuned(experiment, dataset, tmp_path_factory):
    """(run folder of 4 steps on imported weights, what was said)."""
    folder = tmp_path_factory.mktemp("fine") / "run"
    cli.main(["import", str(experiment), "--run", str(folder), "--size", "32x32"])
    patch = pytest.MonkeyPatch()
    said = []
    with patch.context() as context:
        context.setattr(imported, "say", said.append)
        cli.main(["train", "--run", str(folder), "--data", str(dataset), *SETTINGS])
    return folder, " ".join(said)


def test_training_goes_on_from_imported_weights_with_a_warm_up(fine_tuned, experiment):
    folder, said = fine_tuned
    assert "Adam starts fresh" in said and "rises over the first 4 steps" in said
    rates = [row["learning_rate"] for row in read_metrics(folder)]
    np.testing.assert_allclose(rates, [5e-5, 1e-4, 1.5e-4, 2e-4])
    run, params = all_params(folder, "raw")
    assert (run.step, run.dataset["frames"]) == (4, 24)
    before = network(GENERATOR).params["params"]["first"]["kernel"]
    after = params["generator"]["params"]["first"]["kernel"]
    # Each of Adam's first steps is about the learning rate: 5e-4 together.
    assert 0 < np.abs(after - before).max() < 8e-4
    # The average began with the imported weights too.
    averaged = all_params(folder)[1]["generator"]["params"]["first"]["kernel"]
    assert 0 < np.abs(averaged - before).max() < np.abs(after - before).max() + 1e-6
    record = record_of(folder)
    assert record["step"] == 4 and record["imported"]["files"]["G"]["sha256"]
    assert not imported.untouched(record)


def test_a_begun_run_keeps_its_settings_and_an_import_its_networks(
    fine_tuned, experiment, dataset, tmp_path, capsys
):
    folder, _ = fine_tuned
    go = ["train", "--run", str(folder), "--data", str(dataset)]
    cli.main(go)
    assert "nothing is left to do" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*go, "--recipe.losses.l1", "20"])
    assert "holds a run of another config" in capsys.readouterr().err
    run = import_run(ImportOptions(source=experiment, run=tmp_path / "run", size="32x32"))
    with pytest.raises(SystemExit):
        cli.main(["train", "--run", str(run), "--data", str(dataset), *SETTINGS, "--width", "8"])
    said = capsys.readouterr().err
    assert "do not fit this config" in said and "ngf: 4 -> 8" in said
    with pytest.raises(SystemExit):
        cli.main(["train", "demo", "--run", str(run), "--data", str(dataset)])
    with pytest.raises(SystemExit):
        cli.main(["train", "--run", str(tmp_path / "none"), "--data", str(dataset)])
    assert "wants a config first" in capsys.readouterr().err


def test_an_import_survives_a_change_of_settings_that_was_never_trained(
    experiment, dataset, tmp_path, monkeypatch
):
    """Killed after the new config.json was written and before the first checkpoint."""
    from motion_jax.train import run as runs

    folder = import_run(ImportOptions(source=experiment, run=tmp_path / "run", size="32x32"))
    config = load_run(folder).config
    changed = replace(config, recipe=replace(config.recipe, averaging=0.5))
    runs.write_description(folder, changed, None)
    run = load_run(folder)
    assert run.config.recipe.averaging == 0.5
    assert_same(network(GENERATOR).params, run.params["generator"])
    assert imported.untouched_record(folder)["imported"]["config"] == to_json(config)
    assert from_json(to_json(changed)) == changed


# --- refused --------------------------------------------------------------------------------------


def test_what_no_recipe_trains_is_refused_with_what_works(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    labels = GENERATOR | {"input_nc": 36}
    save_torch(network(labels), source / "latest_net_G.pth")
    with pytest.raises(UserError, match="36 input channels.*inspect FILE.*export FILE"):
        import_run(ImportOptions(source=source, run=tmp_path / "run"))
    only = source / "latest_net_D.pth"
    save_torch(network(DISCRIMINATOR), only)
    with pytest.raises(UserError, match="holds no generator"):
        import_run(ImportOptions(source=only, run=tmp_path / "run"))
    # A generator of poses beside a discriminator of one frame.
    save_torch(network(GENERATOR), source / "latest_net_G.pth")
    save_torch(network(DISCRIMINATOR | {"input_nc": 9}), only)
    with pytest.raises(UserError, match="no recipe here trains.*with 9"):
        import_run(ImportOptions(source=source, run=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_bad_places_and_sizes_leave_nothing(experiment, dataset, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = tmp_path / "filled"
    filled.mkdir()
    (filled / "x").write_text("")
    for changes, said in (
        ({"source": tmp_path / "none"}, "There is no"),
        ({"source": empty}, "holds no weights of the original programs"),
        ({"run": filled}, "is there already"),
        ({"size": "31x32"}, "not divisible by 2"),
        ({"size": "wide"}, "is no size"),
        ({"size": "64x64", "data": dataset}, "64x64"),
    ):
        options = ImportOptions(source=experiment, run=tmp_path / "run")
        with pytest.raises(UserError, match=said):
            import_run(replace(options, **changes))
        assert not (tmp_path / "run").exists()
    assert [path.name for path in filled.iterdir()] == ["x"]


CYCLE = {"class": "ResnetGenerator", "input_nc": 3, "output_nc": 3, "ngf": 4, "n_blocks": 0,
         "norm": "instance", "dropout": False}  # fmt: skip


def test_a_dataset_that_training_would_refuse_is_refused(
    experiment, dataset, unpaired, tmp_path, capsys
):
    cycle = tmp_path / "cycle"
    cycle.mkdir()
    for name in "AB":
        save_torch(network(CYCLE), cycle / f"latest_net_G_{name}.pth")
    run = tmp_path / "run"
    with pytest.raises(UserError, match="one domain only.*import without data"):
        import_run(ImportOptions(source=cycle, run=run, data=dataset))
    with pytest.raises(UserError, match="neither keypoints nor ready pose pictures"):
        import_run(ImportOptions(source=experiment, run=run, data=unpaired))
    assert not run.exists()
    capsys.readouterr()
    import_run(ImportOptions(source=cycle, run=run, data=unpaired))
    said = capsys.readouterr().err.replace("\n", " ")
    # The command line's last line alone says what is next.
    assert "Training it further" not in said and "motion-jax train" not in said
    import_run(ImportOptions(source=cycle, run=tmp_path / "without", size="48x32"))
    said = capsys.readouterr().err.replace("\n", " ")
    assert "a dataset of 48x32 or a whole multiple; --data or --size at" in said
    assert "--normalize" not in said


def test_a_damaged_note_of_ours_is_named(experiment, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in experiment.glob("latest*"):
        (source / path.name).write_bytes(path.read_bytes())
    (source / "opt.txt").write_text("motion_jax: {" + json.dumps("x") + "\n")
    with pytest.raises(UserError, match="entry motion_jax of the options"):
        import_run(ImportOptions(source=source, run=tmp_path / "run"))
