"""The train step of Everybody Dance Now on tiny networks: its gradients, batches, windows,
stages."""

import dataclasses
import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import LOCAL, RECIPE, SIZE

from motion_jax.errors import UserError
from motion_jax.nets.conv import target_platform
from motion_jax.recipes import adversarial, beginning, picture_losses
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.recipes.everybody_dance_now import Scene

NOWHERE = [0.0, 0.0, 0.0, 0.0]


@pytest.fixture(autouse=True, scope="module")
def larger_weights():
    """Kernels of deviation 0.1: with 0.02 the first pictures are grey and gradients vanish."""
    patch = pytest.MonkeyPatch()

    def larger(module, key, *inputs):
        shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
        random = np.random.default_rng(7)
        return jax.tree.map(
            lambda leaf: (
                random.normal(0, 0.1, leaf.shape) + (leaf.ndim == 1) * random.normal()
            ).astype(np.float32),
            shapes,
        )

    patch.setattr(beginning, "initialise", larger)
    yield
    patch.undo()


@functools.cache
def start(recipe, name="global"):
    return jax.jit(lambda key: recipe.init(key, name))(jax.random.key(0))


def clip_of(boxes, frames=2, seed=0):
    """Random pictures; boxes [B, 4] hold for all frames of a window."""
    random = np.random.default_rng(seed)
    shape = (len(boxes), frames, SIZE, SIZE, 3)
    poses, images = random.random(shape), random.random(shape) * 2 - 1
    boxes = np.repeat(np.array(boxes)[:, None], frames, axis=1)
    return Scene(*(jnp.asarray(x, jnp.float32) for x in (poses, images, boxes)), {})


def pick(clip, sample):
    return jax.tree.map(lambda x: x[sample : sample + 1], clip)


def step_of(recipe, name="global"):
    """(state, clip) -> (state, metrics)"""
    return jax.jit(lambda state, clip: recipe.step(state, clip, name))


def metrics_of(recipe, name="global"):
    """The losses alone; the compiler leaves the gradients out."""
    return jax.jit(lambda state, clip: recipe.step(state, clip, name)[1])


def first_gradient(state, network):
    """The gradient that a state's first step had: Adam's first moment is (1 - b1) of it."""
    return jax.tree.map(lambda m: m / 0.5, state.optimizer[network].mu)


def total(metrics, *names):
    return sum(float(metrics[name]) for name in names)


def along(tree, direction, length):
    return jax.tree.map(lambda x, d: x + length * d, tree, direction)


def check_gradient(losses, state, clip, network, gradient, names, weight=1.0, length=1e-4):
    """Losses a little further along the gradient change by what it says.

    Of all directions its own has the largest change; kinks and float32 leave a percent or two.
    """
    norm = float(jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient))))
    assert norm > 1e-2
    direction = jax.tree.map(lambda g: g / norm, gradient)
    ends = []
    for sign in (-1, 1):
        moved = along(state.params[network], direction, sign * length)
        moved = state.replace(params=state.params | {network: moved})
        ends.append(weight * total(losses(moved, clip), *names))
    assert (ends[1] - ends[0]) / (2 * length) == pytest.approx(norm, rel=0.03)


@pytest.fixture(scope="module")
def three_frames():
    """The global stage on windows of three frames: a state, a clip, the step, what it gave."""
    clip, state = clip_of([NOWHERE], frames=3), start(RECIPE)
    step = step_of(RECIPE)
    return state, clip, step, step(state, clip)


def test_gradients_are_of_the_losses_that_are_logged(three_frames):
    state, clip, step, (after, metrics) = three_frames
    assert set(metrics) == {"G_GAN", "G_GAN_Feat", "G_L1", "D_real", "D_fake"}
    assert set(metrics) == set(RECIPE.metrics("global"))

    def losses(state, clip):
        return step(state, clip)[1]

    gradient = first_gradient(after, "generator")
    check_gradient(losses, state, clip, "generator", gradient, ("G_GAN", "G_GAN_Feat", "G_L1"))
    gradient = first_gradient(after, "discriminator")
    check_gradient(losses, state, clip, "discriminator", gradient, ("D_real", "D_fake"), 0.5)
    assert int(after.step) == 1
    # Adam's first step has the length of the learning rate wherever there is a gradient.
    for network in ("generator", "discriminator"):
        change = jax.tree.map(lambda a, b: b - a, state.params[network], after.params[network])
        for leaf, slope in zip(
            jax.tree.leaves(change), jax.tree.leaves(first_gradient(after, network)), strict=True
        ):
            clear = np.abs(slope) > 1e-4
            np.testing.assert_allclose(
                np.asarray(leaf)[clear], -1e-3 * np.sign(slope)[clear], rtol=1e-2
            )


def rolled(recipe, clip, weights, platform):
    def weighted(params, poses):
        images = recipe.generated({"generator": params}, clip._replace(poses=poses), "global")
        return jnp.vdot(images, weights), images

    with target_platform(platform):
        run = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))
        return run(start(recipe).params["generator"], clip.poses)


def test_frames_follow_each_other_and_every_way_to_unroll_is_the_same(three_frames):
    _, clip, _, _ = three_frames
    # Weights on the last frame alone.
    weights = np.zeros(clip.images.shape, np.float32)
    weights[:, -1] = np.random.default_rng(5).normal(size=weights[:, -1].shape)
    (_, images), (by_params, by_poses) = rolled(RECIPE, clip, weights, "cpu")
    assert images.shape == clip.images.shape
    # The last frame depends on the poses of all three.
    reach = np.abs(by_poses).max(axis=(0, 2, 3, 4))
    assert (reach > 1e-3).all()
    for other, platform in (
        (RECIPE, "gpu"),
        (replace(RECIPE, rematerialise=True), "cpu"),
        (replace(RECIPE, rematerialise=True), "gpu"),
    ):
        (_, again), gradients = rolled(other, clip, weights, platform)
        np.testing.assert_allclose(again, images, atol=1e-5)
        # Biases before a norm have no gradient but noise, so one scale for all.
        expected = jax.tree.leaves((by_params, by_poses))
        scale = max(float(np.abs(b).max()) for b in expected)
        for a, b in zip(jax.tree.leaves(gradients), expected, strict=True):
            np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)


def test_a_longer_window_is_the_reference_on_its_first_two_frames(three_frames):
    state, clip, _, _ = three_frames

    @jax.jit
    def both(params):
        two = jax.tree.map(lambda x: x[:, :2], clip)
        return [RECIPE.generated(params, one, "global") for one in (clip, two)]

    three, two = both(state.params)
    np.testing.assert_allclose(three[:, :2], two, atol=1e-6)


def test_noise_on_the_previous_frame_spares_the_first_and_follows_its_key():
    recipe = replace(RECIPE, previous_noise=0.3)
    params, clip = start(RECIPE).params, clip_of([NOWHERE])

    @jax.jit
    def noisy(key):
        return recipe.generated(params, clip, "global", key)

    without = jax.jit(lambda: recipe.generated(params, clip, "global"))()
    one, same, other = (noisy(jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    np.testing.assert_allclose(one[:, 0], without[:, 0], atol=1e-5)
    assert np.abs(one[:, 1] - without[:, 1]).mean() > 1e-2
    assert np.abs(one[:, 1] - other[:, 1]).mean() > 1e-2


def test_without_a_previous_frame_every_frame_is_a_first_one():
    alone, clip = replace(RECIPE, previous="none"), clip_of([NOWHERE, NOWHERE])
    params = start(RECIPE).params
    made = jax.jit(lambda: alone.generated(params, clip, "global"))()
    nowhere = jnp.zeros((2, 4))
    first = jax.jit(lambda poses: RECIPE.generate(params, poses, 0 * poses, nowhere, "global"))
    for t in range(clip.poses.shape[1]):
        np.testing.assert_allclose(made[:, t], first(clip.poses[:, t]), atol=1e-5)
    own = jax.jit(lambda: RECIPE.generated(params, clip, "global"))()
    assert np.abs(made[:, 1] - own[:, 1]).max() > 1e-3
    # Nothing is carried in synthesis, which makes what training was shown.
    assert RECIPE.recurrent and not alone.recurrent
    assert alone.start(params, None, "global") == ()
    seen = {"poses": clip.poses[0], "face_boxes": jnp.zeros((clip.poses.shape[1], 4))}
    seen["poses"] = jnp.uint8(255 * seen["poses"])
    frames, carry = jax.jit(lambda: alone.synthesize(params, seen, (), "global"))()
    assert carry == () and frames.shape == clip.images.shape[1:]
    with pytest.raises(UserError, match="previous = 'none' does not show; use 0"):
        replace(alone, previous_noise=0.1).validate()
    with pytest.raises(UserError, match="neither 'own' nor 'none'"):
        replace(RECIPE, previous="real").validate()


def test_pairs_are_of_neighbouring_frames():
    clip = clip_of([NOWHERE, NOWHERE], frames=3)
    pairs = edn.EverybodyDanceNow().judged(clip.poses, clip.images)
    assert pairs.shape == (4, SIZE, SIZE, 12)
    for i, (sample, t) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        expected = [clip.poses[sample, t], clip.poses[sample, t + 1],
                    clip.images[sample, t], clip.images[sample, t + 1]]  # fmt: skip
        np.testing.assert_array_equal(pairs[i], jnp.concatenate(expected, axis=-1))


def test_a_batch_is_the_mean_of_its_samples_and_half_precision_is_close():
    """Every network of the global stage normalises each picture by itself."""
    losses, state, both = metrics_of(RECIPE), start(RECIPE), clip_of([NOWHERE, NOWHERE])
    together = losses(state, both)
    apart = [losses(state, pick(both, i)) for i in range(2)]
    half = metrics_of(replace(RECIPE, dtype="bfloat16"))(state, pick(both, 0))
    for name, value in half.items():
        assert value.dtype == jnp.float32
        assert float(value) == pytest.approx(float(apart[0][name]), rel=0.05), name
        assert float(value) != float(apart[0][name])
    for name, value in together.items():
        first, second = (float(each[name]) for each in apart)
        assert float(value) == pytest.approx((first + second) / 2, rel=1e-5), name
        assert first != pytest.approx(second, rel=1e-4), name


# --- faces --------------------------------------------------------------------------------------

BOXES = [[2.0, 1.0, 8.0, 7.0], [9.0, 7.0, 17.0, 15.0], NOWHERE]


@pytest.fixture(scope="module")
def faces():
    """The face stage on three windows, of which two show a face, elsewhere."""
    state, clip, step = start(RECIPE, "face"), clip_of(BOXES), step_of(RECIPE, "face")
    return state, clip, step, step(state, clip)


def test_each_sample_is_cropped_at_its_own_face(faces):
    state, clip, _, _ = faces
    fake, real, pose, mask = RECIPE.face_crops(clip.images, clip)
    assert mask.tolist() == [[1, 1], [1, 1], [0, 0]]
    # Squares of 8 around the boxes' centres (5, 4) and (13, 11), the second pushed inside.
    for sample, (top, left) in enumerate([(1, 0), (8, 7)]):
        expected = clip.images[sample, :, top : top + 8, left : left + 8]
        np.testing.assert_array_equal(fake[sample], expected)
        np.testing.assert_array_equal(real[sample], expected)
        np.testing.assert_array_equal(
            pose[sample], clip.poses[sample, :, top : top + 8, left : left + 8]
        )

    def generate(params):
        inputs = clip.poses[:, 0], jnp.zeros_like(clip.images[:, 0]), clip.boxes[:, 0]
        return RECIPE.generate(params, *inputs, "face")

    plain = jax.jit(generate)({"generator": state.params["generator"]})
    changed = np.abs(np.asarray(jax.jit(generate)(state.params) - plain)).max(axis=-1) > 1e-6
    # Without a face the picture is untouched.
    assert not changed[2].any()
    for sample, (top, left) in enumerate([(1, 0), (8, 7)]):
        square = np.zeros((SIZE, SIZE), bool)
        square[top : top + 8, left : left + 8] = True
        assert not changed[sample][~square].any()
        assert changed[sample][square].mean() > 0.9


def test_face_gradients_are_of_the_losses_that_are_logged(faces):
    state, clip, step, (after, metrics) = faces
    assert set(after.optimizer) == {"face_generator", "face_discriminator"}
    assert set(metrics) == set(RECIPE.metrics("face"))

    def losses(state, clip):
        return step(state, clip)[1]

    names = ("G_GAN", "G_GAN_Feat", "G_L1", "G_GANface")
    check_gradient(
        losses, state, clip, "face_generator", first_gradient(after, "face_generator"), names
    )
    gradient = first_gradient(after, "face_discriminator")
    names = ("D_realface", "D_fakeface")
    check_gradient(losses, state, clip, "face_discriminator", gradient, names, 0.5)
    for network in ("generator", "discriminator"):  # frozen
        jax.tree.map(np.testing.assert_array_equal, after.params[network], state.params[network])


def test_without_any_face_the_face_networks_learn_nothing(faces):
    state, clip, step, _ = faces
    after, metrics = step(state, clip._replace(boxes=jnp.zeros_like(clip.boxes)))
    assert [float(metrics[n]) for n in ("G_GANface", "D_realface", "D_fakeface")] == [0, 0, 0]
    assert float(metrics["G_L1"]) > 0
    for network in ("face_generator", "face_discriminator"):
        jax.tree.map(np.testing.assert_array_equal, after.params[network], state.params[network])


def test_the_face_losses_are_the_mean_over_the_faces():
    """Judged by a face discriminator that takes each sample by itself (no batch norm)."""

    class Judge:
        @staticmethod
        def apply(weights, x):
            return [weights["params"]["w"] * x[..., 3:].mean(axis=-1, keepdims=True)]

    class Recipe(edn.EverybodyDanceNow):
        def face_discriminator(self):
            return Judge

    recipe = Recipe(**{f.name: getattr(RECIPE, f.name) for f in dataclasses.fields(RECIPE)})
    variables, clip = {"params": {"w": jnp.array(2.0)}}, clip_of(BOXES)
    images = clip_of(BOXES, seed=1).images

    def terms(clip, images):
        judge = recipe.judges("face")["face_discriminator"]
        return adversarial.against(judge, variables, images, clip.images, clip)

    terms = jax.jit(terms)
    toward, gradient, together = terms(clip, images)
    apart = [terms(pick(clip, i), images[i : i + 1]) for i in range(3)]
    for name, value in together.items():
        assert float(value) == pytest.approx(sum(float(a[2][name]) for a in apart) / 2, rel=1e-5)
    slope = sum(float(a[1]["params"]["w"]) for a in apart) / 2
    assert float(gradient["params"]["w"]) == pytest.approx(slope, rel=1e-5)
    np.testing.assert_allclose(
        toward, jnp.concatenate([a[0] for a in apart]) / 2, rtol=1e-4, atol=1e-7
    )
    assert not np.asarray(toward[2]).any()


def test_perceptual_terms_count_whole_frames_and_faces(monkeypatch):
    class Features:
        def __init__(self, dtype):
            pass

        def apply(self, weights, x):
            return [weights * x] * 5

    chosen = picture_losses.PERCEPTUAL["vgg19"]._replace(network=Features)
    monkeypatch.setitem(picture_losses.PERCEPTUAL, "vgg19", chosen)
    recipe = replace(LOCAL, losses=edn.Losses(perceptual_weight=3.0))
    clip, fake = clip_of(BOXES), clip_of(BOXES, seed=1).images
    clip = clip._replace(frozen={"vgg19": jnp.array(1.0)})
    weight = sum((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0))

    def term(recipe, name):
        return float(recipe.terms(name)["G_VGG"](fake, clip))

    def distance(a, b):
        return weight * float(jnp.abs(a - b).mean())

    # The sum over the two frames; half of it while the generator is a GlobalGenerator.
    whole = 3.0 * 2 * distance(fake, clip.images)
    assert term(recipe, "local") == pytest.approx(whole, rel=1e-5)
    assert term(recipe, "global") == pytest.approx(whole / 2, rel=1e-5)
    a, b, _, _ = recipe.face_crops(fake, clip)
    assert term(recipe, "face") == pytest.approx(whole + 3.0 * distance(a[:2], b[:2]), rel=1e-5)


def test_clamped_faces_stay_in_range():
    state, clip = start(RECIPE, "face"), clip_of(BOXES)
    inputs = clip.poses[:, 0], clip.images[:, 0], clip.boxes[:, 0]
    params = state.params | {
        "face_generator": jax.tree.map(lambda x: 5 * x, state.params["face_generator"])
    }

    @jax.jit
    def both(params):
        clamped = replace(RECIPE, clamp_face=True)
        return [recipe.generate(params, *inputs, "face") for recipe in (RECIPE, clamped)]

    raw, clamped = both(params)
    assert float(jnp.abs(raw).max()) > 1.001
    np.testing.assert_allclose(clamped, jnp.clip(raw, -1, 1), atol=1e-6)


# --- stages -------------------------------------------------------------------------------------


def test_stages_carry_over_what_was_learnt():
    recipe = replace(LOCAL, averaging=0.9)
    assert list(recipe.stages()) == ["global", "local", "face"]
    begun = start(recipe, "global")
    # The average is another than what it is the average of.
    begun = begun.replace(averaged=jax.tree.map(lambda x: x + 1, begun.averaged))
    local = jax.jit(lambda k, s: recipe.init(k, "local", s))(jax.random.key(1), begun)
    core = local.params["generator"]["params"]["model"]
    trained = begun.params["generator"]["params"]
    assert set(trained) - set(core) == {"last"}
    for layer in core:
        jax.tree.map(np.testing.assert_array_equal, core[layer], trained[layer])
    scales = local.params["discriminator"]["params"]
    assert set(scales) == {"scale_0", "scale_1", "scale_2"}
    for scale in ("scale_0", "scale_1"):
        jax.tree.map(
            np.testing.assert_array_equal,
            scales[scale],
            begun.params["discriminator"]["params"][scale],
        )
    assert int(local.step) == 0 and start(RECIPE).averaged == {}
    assert not any(np.asarray(m).any() for m in jax.tree.leaves(local.optimizer["generator"].mu))
    jax.tree.map(
        np.testing.assert_array_equal, local.averaged["generator"], local.params["generator"]
    )

    local = local.replace(averaged=jax.tree.map(lambda x: x + 1, local.averaged))
    face = jax.jit(lambda k, s: recipe.init(k, "face", s))(jax.random.key(2), local)
    jax.tree.map(
        np.testing.assert_array_equal, face.params["generator"], local.averaged["generator"]
    )
    # The face stage has two scales, the coarser of the three are left out... by name.
    assert set(face.params["discriminator"]["params"]) == {"scale_0", "scale_1"}
    assert set(face.averaged) == {"face_generator"}
    shown = recipe.synthesis_params(face)
    assert set(shown) == {"generator", "face_generator"}
    assert shown["generator"] is face.params["generator"]
    assert shown["face_generator"] is face.averaged["face_generator"]
