"""The train step of Everybody Dance Now and pix2pixHD: both updates from one forward pass of every
network.

The generator runs once a frame, the discriminator once on the generated and once on the real
frames, which the recipe puts together with their poses as the discriminator is to see them. Each is
differentiated with `jax.vjp`, whose pull-back is applied to the generator's losses (towards the
pictures) and to the discriminator's (towards its parameters): no forward pass is repeated, and both
gradients are those of the weights before the step, as in the reference.
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax import losses
from motion_jax.devices import layout
from motion_jax.nets.conv import on_cpu
from motion_jax.nets.vgg import VGG19
from motion_jax.recipes.adam import updated
from motion_jax.recipes.crops import crop, crop_corners
from motion_jax.recipes.network import averaged as mixed
from motion_jax.recipes.state import Params, State

if TYPE_CHECKING:
    from motion_jax.recipes.coarse_to_fine import CoarseToFine


class Clip(NamedTuple):
    """T consecutive frames, B of them at once.

    poses [B, T, H, W, 3] in [0, 1]; images [B, T, H, W, 3] in [-1, 1]; boxes [B, T, 4] in pixels.
    """

    poses: Array
    images: Array
    boxes: Array


def two_frame_step(
    recipe: "CoarseToFine", state: State, clip: Clip, name: str, frozen: Params
) -> tuple[State, dict[str, Array]]:
    """See the recipe's train_step; takes pose pictures already drawn."""
    params, metrics = state.params, {}
    trained = "face_generator" if name == "face" else "generator"
    key = jax.random.fold_in(state.key, state.step)

    def generate(trained_params: Params) -> Array:
        return rollout(recipe, {**params, trained: trained_params}, clip, name, key)

    images, pull_generator = jax.vjp(generate, params[trained])
    gradient = jnp.zeros_like(images)
    gradients = {}

    # The main discriminator.
    network = recipe.main_discriminator(name)

    def judge(weights: Params, pictures: Array) -> losses.Features:
        with jax.named_scope("discriminator"):
            return network.apply(weights, recipe.judged(clip.poses, pictures))

    fake, pull_fake = jax.vjp(judge, params["discriminator"], images)
    real, pull_real = jax.vjp(lambda weights: judge(weights, clip.images), params["discriminator"])

    def adversarial(outputs: losses.Features) -> tuple[Array, tuple[Array, Array]]:
        with jax.named_scope("G_GAN"):
            gan = losses.least_squares(outputs, 1.0)
        with jax.named_scope("G_GAN_Feat"):
            matching = recipe.losses.feature_matching * losses.feature_matching(outputs, real)
        return gan + matching, (gan, matching)

    toward, (metrics["G_GAN"], metrics["G_GAN_Feat"]) = jax.grad(adversarial, has_aux=True)(fake)
    gradient += pull_fake(toward)[1]
    with jax.named_scope("D_real"):
        metrics["D_real"], from_real = jax.value_and_grad(losses.least_squares)(real, 1.0)
    with jax.named_scope("D_fake"):
        metrics["D_fake"], from_fake = jax.value_and_grad(losses.least_squares)(fake, 0.0)
    if "discriminator" in state.optimizer:
        gradients["discriminator"] = _mean(pull_real(from_real)[0], pull_fake(from_fake)[0])

    # The face discriminator, on the crop of every frame.
    if name == "face":
        face_gradient, gradients["face_discriminator"], face_metrics = _face_terms(
            recipe, params, clip, images
        )
        gradient += face_gradient
        metrics |= face_metrics

    # Losses that compare pictures.
    def picture_terms(pictures: Array) -> tuple[Array, dict[str, Array]]:
        terms = {}
        if recipe.losses.perceptual == "vgg19":
            terms["G_VGG"] = _perceptual(recipe, frozen["vgg19"], clip, pictures, name)
        if recipe.losses.l1:
            with jax.named_scope("G_L1"):
                terms["G_L1"] = recipe.losses.l1 * losses.mean_absolute(pictures, clip.images)
        return sum(terms.values(), jnp.zeros(())), terms

    toward, terms = jax.grad(picture_terms, has_aux=True)(images)
    gradient += toward
    metrics |= terms
    (gradients[trained],) = pull_generator(gradient)
    return _update(recipe, state, gradients, name), metrics


def rollout(
    recipe: "CoarseToFine", params: Params, clip: Clip, name: str, key: Array | None = None
) -> Array:
    """Generated frames [B, T, H, W, 3]: the first from a zero picture, each next from the one
    before, with gradients through all of them.
    """

    def frame(previous: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        pose, boxes, *noise = inputs
        image = recipe.generate(params, pose, sum(noise, previous), boxes, name)
        return image, image

    if recipe.rematerialise:
        frame = jax.checkpoint(frame)
    by_time = (jnp.swapaxes(clip.poses, 0, 1), jnp.swapaxes(clip.boxes, 0, 1))
    if recipe.previous_noise and key is not None:
        with jax.named_scope("previous_noise"):
            shape = by_time[0].shape
            noise = layout.drawn(lambda shape: jax.random.normal(key, shape), shape, axis=1)
            noise = recipe.previous_noise * noise
            # The first previous frame stays zero: that is how a beginning is recognised.
            by_time = (*by_time, noise.at[0].set(0.0))
    start = jnp.zeros_like(clip.images[:, 0])
    # XLA's CPU backend runs convolutions inside a loop on its slow path, 3 to 8 times slower.
    unroll = on_cpu() or clip.poses.shape[1] <= 2
    _, images = jax.lax.scan(frame, start, by_time, unroll=unroll)
    return jnp.swapaxes(images, 0, 1)


def _mean(a: Params, b: Params) -> Params:
    """Of the gradients from real and from generated pictures."""
    with jax.named_scope("gradients"):
        return jax.tree.map(lambda a, b: 0.5 * (a + b), a, b)


def _perceptual(recipe: "CoarseToFine", vgg: Params, clip: Clip, images: Array, name: str) -> Array:
    """The mean of the perceptual distance times the recipe's number of frames, and in the face
    stage half of the crops'."""
    network = VGG19(jnp.dtype(recipe.dtype))

    def distance(a: Array, b: Array) -> Array:
        with jax.named_scope("vgg19"):
            a, b = (x.reshape(-1, *x.shape[-3:]) for x in (a, b))
            a, b = network.apply(vgg, a), network.apply(vgg, b)
        with jax.named_scope("G_VGG"):
            return losses.perceptual(a, b)

    factor = 1.0 if recipe.is_local(name) else recipe.losses.perceptual_global_factor
    total = recipe.perceptual_frames * factor * distance(images, clip.images)
    if name == "face":
        fake, real, _, mask = _face_crops(recipe, clip, images)
        # Where a window has no face both sides are the same picture, whose distance is 0.
        mask = mask[..., None, None, None]
        least = 1.0 / (mask.size * layout.shares())
        share = jnp.maximum(layout.batch_mean(mask.mean()), least)
        total += recipe.perceptual_frames * 0.5 * distance(fake * mask, real * mask) / share
    return recipe.losses.perceptual_weight * total


def _face_crops(
    recipe: "CoarseToFine", clip: Clip, images: Array
) -> tuple[Array, Array, Array, Array]:
    """Crops [B, T, s, s, 3] of the generated frames, the real frames and the poses; mask [B, T]."""
    size, (height, width) = recipe.face.size, images.shape[2:4]
    with jax.named_scope("face_crops"):
        corners, mask = crop_corners(clip.boxes, size, height, width)
        fake, real, pose = (crop(x, corners, size) for x in (images, clip.images, clip.poses))
        return fake, real, pose, mask


def _face_terms(
    recipe: "CoarseToFine", params: Params, clip: Clip, images: Array
) -> tuple[Array, Params, dict[str, Array]]:
    """Gradient towards the pictures, gradient of the face discriminator, and the three losses."""
    network = recipe.face_discriminator()

    def judge(weights: Params, pictures: Array) -> Array:
        """Logits [T, B, h, w, 1]; batch statistics are each time step's own, as in the
        reference."""
        fake, _, pose, _ = _face_crops(recipe, clip, pictures)
        inputs = jnp.swapaxes(jnp.concatenate([pose, fake], axis=-1), 0, 1)
        with jax.named_scope("face_discriminator"):
            return jnp.stack([network.apply(weights, frame)[-1] for frame in inputs])

    mask = (clip.boxes[..., 2] > clip.boxes[..., 0]).astype(jnp.float32).T

    def mean(logits: Array, target: float) -> Array:
        each = jax.vmap(losses.least_squares_per_sample, in_axes=(0, None))(logits, target)
        return losses.masked_mean(each, mask)

    weights = params["face_discriminator"]
    fake, pull_fake = jax.vjp(judge, weights, images)
    real, pull_real = jax.vjp(lambda w: judge(w, clip.images), weights)
    metrics = {}
    with jax.named_scope("G_GANface"):
        metrics["G_GANface"], toward = jax.value_and_grad(mean)(fake, 1.0)
    with jax.named_scope("D_realface"):
        metrics["D_realface"], from_real = jax.value_and_grad(mean)(real, 1.0)
    with jax.named_scope("D_fakeface"):
        metrics["D_fakeface"], from_fake = jax.value_and_grad(mean)(fake, 0.0)
    gradient = _mean(pull_real(from_real)[0], pull_fake(from_fake)[0])
    return pull_fake(toward)[1], gradient, metrics


def _update(recipe: "CoarseToFine", state: State, gradients: Params, name: str) -> State:
    params, optimizer = dict(state.params), dict(state.optimizer)
    rate = recipe.learning_rate(name, state.step)
    for network, gradient in layout.batch_mean(gradients).items():
        updates = recipe.generator_updates if network == "generator" else 1
        before = params[network], optimizer[network]
        new = before
        with jax.named_scope("adam"), jax.named_scope(network):
            for _ in range(updates):
                new = updated(new[0], gradient, new[1], rate)
        if name == "face" and network == "discriminator":
            # Frozen, moments and all, until its step comes.
            begun = state.step >= recipe.main_discriminator_after
            new = jax.tree.map(lambda a, b, begun=begun: jnp.where(begun, a, b), new, before)
        params[network], optimizer[network] = new
    averaged = state.averaged
    if averaged:
        averaged = {
            network: mixed(old, params[network], state.step, recipe.averaging)
            for network, old in averaged.items()
        }
    return state.replace(step=state.step + 1, params=params, optimizer=optimizer, averaged=averaged)
