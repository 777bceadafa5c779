"""One run that knows several people: trained on both, asked for either and for mixtures."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.drawn_people import poses_of, write_film, write_poses
from motion_jax.data import records
from motion_jax.data.identities import weights
from motion_jax.errors import UserError
from motion_jax.evaluate.held_out import Frames
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.files import parted
from motion_jax.live.options import LiveOptions
from motion_jax.live.people import people
from motion_jax.nets.pix2pixhd import GlobalGenerator, Identity, LocalEnhancer, mixed
from motion_jax.port import onnx
from motion_jax.port.export_run import export
from motion_jax.port.options import ExportOptions
from motion_jax.puppet import company
from motion_jax.recipes.state import Params
from motion_jax.train.adapt import adapt
from motion_jax.train.adapt_options import AdaptOptions
from motion_jax.train.loop import train
from motion_jax.train.run import load_person, load_run
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.player import Networks
from motion_jax.transfer.resident import Resident
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

SIZE = 16


@pytest.fixture
def run(run_of_both):
    return run_of_both


def test_names_and_mixtures():
    people = ["ann", "bob"]
    assert weights("bob", people) == (0.0, 1.0)
    assert weights("ann:1,bob:3", people) == (0.25, 0.75)
    assert weights("ann:1+bob:3", people) == (0.25, 0.75)
    assert weights("all", people) == (0.5, 0.5) and weights("all", ["all", "bob"]) == (1.0, 0.0)
    assert weights("c+d", ["ann", "c+d"]) == (0.0, 1.0)
    with pytest.raises(UserError, match="'carl', whom the run does not know: it knows ann, bob"):
        weights("carl", people)
    for text in ("ann:x", "ann:-1,bob:2", "ann:0"):
        with pytest.raises(UserError, match="no mixture of people"):
            weights(text, people)


def test_a_run_and_who_of_it(tmp_path):
    assert parted(Path("runs/both:ann:0.3+bob:0.7")) == (Path("runs/both"), "ann:0.3+bob:0.7")
    assert parted(Path("runs/both")) == (Path("runs/both"), None)
    (tmp_path / "12:30").mkdir()
    assert parted(tmp_path / "12:30") == (tmp_path / "12:30", None)


def test_a_mixture_is_between_its_people():
    x, random = jnp.ones((1, 2, 2, 3)), np.random.default_rng(0)
    params = {"params": {n: random.normal(size=(2, 3)).astype(np.float32)
                         for n in ("factor", "shift")}}  # fmt: skip

    apply = jax.jit(Identity().apply)

    def made(*who):
        return np.asarray(apply(params, x, jnp.asarray([who], jnp.float32)))

    np.testing.assert_allclose(made(0.25, 0.75), 0.25 * made(1, 0) + 0.75 * made(0, 1), rtol=1e-5)
    factor, shift = params["params"]["factor"], params["params"]["shift"]
    np.testing.assert_allclose(made(0, 1)[0, 0, 0], 1 + factor[1] + shift[1], rtol=1e-5)


def test_without_people_the_network_is_the_published_one():
    def layers(module: GlobalGenerator, channels: int) -> Params:
        shape = jax.ShapeDtypeStruct((1, 8, 8, channels), np.float32)
        return jax.eval_shape(module.init, jax.random.key(0), shape)["params"]

    plain = GlobalGenerator(3, 2, 1, 1)
    told = layers(plain.clone(identities=5), 11)
    assert set(told) - set(layers(plain, 6)) == {"identity_lowest", "identity_up_0"}
    rest = {name: told[name] for name in layers(plain, 6)}
    assert jax.tree.map(lambda leaf: leaf.shape, rest) == jax.tree.map(
        lambda leaf: leaf.shape, layers(plain, 6)
    )


def test_examples_say_who_is_seen(run, both):
    made = load_run(run)
    assert made.people == ["ann", "bob"]
    frames = Frames(made.plated(records.open_dataset(both)), SIZE, SIZE)
    assert frames.window(4, 4)["identities"].tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_each_is_drawn_before_their_own_place(run, both):
    made, data = load_run(run), records.open_dataset(both)
    clip = {"keypoints": data.keypoints()[:2], "face_boxes": data.face_boxes()[:2]}
    with pytest.raises(UserError, match="knows ann, bob; say who it is, as in .*both:ann"):
        made.seen(clip)
    films, plates, told = {}, {}, made.synthesizer()
    for name, who in (("ann", (1, 0)), ("bob", (0, 1)), ("ann:1,bob:1", (0.5, 0.5))):
        chosen = made.as_identity(name)
        assert chosen.as_identity(None) is chosen and chosen.people == []
        seen = chosen.seen(clip)
        films[name], plates[name] = chosen.synthesizer().feed(seen), seen["plates"][0]
        assert chosen.dataset["target_statistics"]["frames"] == {"ann": 4, "bob": 8}[name[:3]]
        # The network that is told who it is, by planes, draws the same.
        weights = np.tile(np.float32(who), (2, 1))
        other = told.feed(made.seen(clip | {"identities": weights, "plates": seen["plates"]}))
        assert np.abs(films[name].astype(int) - other).max() <= 1
    assert (films["ann"] != films["bob"]).any() and (films["ann"] != films["ann:1,bob:1"]).any()
    # Ann's clip is the second one.
    assert plates["ann"][0, 0, 0] == 100 and plates["bob"][0, 0, 0] in (90, 110)


def test_transfer_to_either(run, both, tmp_path):
    (tmp_path / "poses").mkdir()
    with VideoWriter(tmp_path / "film.mp4", SIZE, SIZE) as writer:
        for i, pose in enumerate(records.open_dataset(both).keypoints()[:4]):
            writer.write(np.full((SIZE, SIZE, 3), 99, np.uint8), i / 25)
            person = {"pose_keypoints_2d": pose[:25].astype(float).ravel().tolist()}
            text = json.dumps({"people": [person]})
            (tmp_path / "poses" / f"{i:012d}_keypoints.json").write_text(text)
    films = []
    for place, name in ((run, "ann"), (f"{run}:bob", None)):
        out = tmp_path / f"{name}.mp4"
        transfer(
            TransferOptions(
                source=tmp_path / "film.mp4", poses=tmp_path / "poses", run=Path(place), out=out,
                identity=name, normalize="none", smooth=False, swaps=False, bones=False, mark=False,
            )
        )  # fmt: skip
        films.append(np.stack([frame.image for frame in read_frames(out)]).astype(int))
    assert films[0].shape == (4, SIZE, SIZE, 3) and np.abs(films[0] - films[1]).max() > 8


def test_each_takes_another_place_in_a_film(run, tmp_path):
    film, size = company.scene(2, 2, 4), (96, 128)
    poses = write_poses(poses_of(film, size), tmp_path / "poses")
    options = TransferOptions(
        source=write_film(film, tmp_path / "film.mp4", size), poses=poses, out=tmp_path / "out.mp4",
        cast=f"A={run}:ann,B={run}:ann:1+bob:1", background="green", normalize="none", smooth=False,
        mark=False,
    )  # fmt: skip
    transfer(options)
    with av.open(str(options.out)) as container:
        assert container.metadata["motion_jax_cast"] == "A=both:ann,B=both:ann:1+bob:1"
    with pytest.raises(UserError, match="identity does not go with several people"):
        transfer(replace(options, identity="ann"))


def test_live_and_served_people_are_those_of_transfer(run, both):
    data = records.open_dataset(both)
    clip = {"keypoints": data.keypoints()[:1], "face_boxes": data.face_boxes()[:1]}
    places = [Path(f"{run}:{name}") for name in ("ann", "bob")]
    found, _ = people(LiveOptions(run=tuple(places), runtime="jax"))
    for place, name, grey, person in zip(places, ("ann", "bob"), (100, 110), found, strict=True):
        chosen = load_person(place)
        expected = chosen.synthesizer().feed(chosen.seen(clip))[0]
        assert person.resident.name == f"both:{name}" and person.background[0, 0, 0] == grey
        seen = person.resident.pose(data.keypoints()[0])
        np.testing.assert_array_equal(person.picture(seen, 0.0), expected)
        np.testing.assert_array_equal(person.resident.alone([seen])[0], expected)


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason="needs the packages onnx and onnxruntime",
)
def test_exported_is_who_was_chosen(run, tmp_path):
    import onnxruntime

    random = np.random.default_rng(1)
    pose = random.random((1, SIZE, SIZE, 3), np.float32)
    place, plain = Path(f"{run}:ann:0.25+bob:0.75"), np.zeros_like(pose)
    told, params = load_run(run).config.recipe, load_run(run).params
    who = jnp.array([[0.25, 0.75]])
    shown = jnp.asarray(pose), jnp.asarray(plain), jnp.zeros((1, 4))
    expected = told.generate(params, *shown, "global", who)
    for form in ("onnx", "stablehlo", "orbax"):
        export(ExportOptions(run=place, format=form, out=tmp_path / form))
    about = json.loads((tmp_path / "onnx/generator.onnx.json").read_text())
    assert about["from"]["run"] == "both:ann:0.25+bob:0.75"
    session = onnxruntime.InferenceSession(
        tmp_path / "onnx/generator.onnx", providers=["CPUExecutionProvider"]
    )
    inputs = {"pose": pose.transpose(0, 3, 1, 2), "previous": plain.transpose(0, 3, 1, 2)}
    (made,) = session.run(None, inputs)
    np.testing.assert_allclose(made.transpose(0, 2, 3, 1), expected, atol=1e-4)
    program = jax.export.deserialize((tmp_path / "stablehlo/generator.stablehlo").read_bytes())
    with np.load(tmp_path / "stablehlo/generator.npz") as arrays:
        np.testing.assert_allclose(program.call(dict(arrays), pose, plain), expected, atol=1e-4)
    with pytest.raises(UserError, match="factors and shifts of who it is"):
        export(ExportOptions(run=place, format="torch", out=tmp_path / "torch"))


def test_an_enhancer_tells_people_apart():
    random = np.random.default_rng(0)
    shown = random.random((1, 16, 16, 6), np.float32)
    module = LocalEnhancer(3, 2, 1, 1, 1, 1, identities=2)

    def planes(*who):
        return np.concatenate([shown, np.broadcast_to(np.float32(who), (1, 16, 16, 2))], -1)

    params = jax.jit(module.init)(jax.random.key(0), planes(1, 0))
    assert {"identity_lowest", "identity_up_0"} <= set(params["params"]["model"])
    apply = jax.jit(module.apply)
    ann, bob, both = (np.asarray(apply(params, planes(*w))) for w in ((1, 0), (0, 1), (0.5, 0.5)))
    assert np.abs(ann - bob).max() > 0.01 and np.abs(ann - both).max() > 0.01
    one, own = module.clone(identities=1), mixed(params, (0.5, 0.5))
    np.testing.assert_allclose(jax.jit(one.apply)(own, shown), both, atol=1e-5)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        graph = onnx.build(one, own, {"x": 6}, "y", last=True).SerializeToString()
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": shown})[0], both, atol=1e-4)


def test_all_stages_know_who_it_is(known):
    recipe = known.recipe
    stage = replace(recipe.global_stage, height=32, width=32)
    recipe = replace(recipe, local_stage=stage, face_stage=stage)
    recipe.validate()
    previous = None
    for name in recipe.stages():
        state = jax.eval_shape(
            lambda key, before, name=name: recipe.init(key, name, before), jax.random.key(0),
            previous,
        )  # fmt: skip
        batch = {
            part: jax.ShapeDtypeStruct(*shape)
            for part, shape in recipe.reading(name).shapes().items()
        }
        assert batch["identities"].shape[-1] == 2
        state, _ = jax.eval_shape(
            lambda state, batch, name=name: recipe.train_step(state, batch, name, {}), state, batch
        )
        layers = state.params["generator"]["params"]
        assert "identity_lowest" in layers.get("model", layers)
        previous = state


def test_who_does_not_fit_is_refused(known, run, both, tmp_path):
    three = replace(known, recipe=replace(known.recipe, identities=3))
    with pytest.raises(UserError, match="shows 2 .ann, bob"):
        train(three, both, tmp_path / "three")
    with pytest.raises(UserError, match="is negative"):
        replace(known.recipe, identities=-1).validate()
    for ask in (
        lambda: export(ExportOptions(run=run, format="onnx", out=tmp_path / "onnx")),
        lambda: Resident(load_run(run)),
        lambda: load_person(run),
    ):
        with pytest.raises(UserError, match="knows ann, bob; say who it is, as in .*both:ann"):
            ask()
    with pytest.raises(UserError, match="source makes films of one of them: say who"):
        measure(EvaluateOptions(run=run, source=(tmp_path / "film.mp4",)))
    with pytest.raises(UserError, match="'carl', whom the run does not know"):
        load_person(Path(f"{run}:carl"))
    with pytest.raises(UserError, match="says who it is already; leave identity out"):
        load_person(Path(f"{run}:ann"), identity="bob")
    with pytest.raises(UserError, match="knows one person alone"):
        load_person(Path(f"{run}:ann")).as_identity("bob")
    # A cast member's pictures are made without a background; they, too, need a name.
    with pytest.raises(UserError, match="say who it is"):
        Networks(load_run(run), before=False)._seen({"keypoints": np.zeros((1, 137, 3))})


def redrawn(run, name, film, folder):
    """A dataset in whose frames is what the run draws of a person in its poses."""
    data, person = records.open_dataset(film), load_run(run).as_identity(name)
    moments = {"keypoints": data.keypoints(), "face_boxes": data.face_boxes()}
    made = person.synthesizer().feed(person.seen(moments))
    rows = [{**data[i], "frame": picture} for i, picture in enumerate(made)]
    folder.mkdir()
    records.write_shard(records.shard_path(folder, 0, 1), rows, SIZE, SIZE, "png")
    records.finish_dataset(folder, data.info, [len(rows)])
    return folder


def test_a_new_person_begins_with_one_of_them(run, write_people, tmp_path):
    # Two films by different names are still those of one person.
    film = write_people(tmp_path / "film", "ann.mp4", "ann again.mp4")
    # Who is not named is found: both of them as they would be drawn in the film's poses.
    for name in ("ann", "bob"):
        drawn = redrawn(run, name, film, tmp_path / f"as {name}")
        adapt(AdaptOptions(run, drawn, tmp_path / name, 2))
        assert json.loads((tmp_path / name / "base.json").read_text())["identity"] == name
    adapt(AdaptOptions(Path(f"{run}:ann:1+bob:3"), film, tmp_path / "new", 2))
    begun, new = load_run(tmp_path / "new", "0"), load_run(tmp_path / "new")
    assert new.people == [] and new.step == 2 and new.config.recipe.identities == 1
    was = load_run(run)
    for path, leaf in jax.tree.leaves_with_path(mixed(was.params["generator"], (0.25, 0.75))):
        now = begun.params["generator"]
        for key in path:
            now = now[key.key]
        np.testing.assert_array_equal(now, leaf)
    assert json.loads((tmp_path / "new" / "base.json").read_text())["identity"] == "ann:1+bob:3"
    # The discriminators came along, and the run goes on as any other.
    adapt(AdaptOptions(Path(f"{run}:ann:1+bob:3"), film, tmp_path / "new", 2))
    told = json.loads((tmp_path / "new" / "config.json").read_text())["recipe"]
    assert told["identities"] == 1
