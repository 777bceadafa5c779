"""Arithmetic, parameters and memory of a recipe's stages by formula, in microseconds.

For choosing among many sizes of networks. The truth about one of them is profiling.cost, which
traces and compiles the step itself; the tests hold the two together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from motion_jax.nets.vgg import LAYERS as VGG19
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Generator

FLOAT = 4  # bytes
# Channels of a generator's input (pose and previous frame), of the main discriminator's (poses and
# pictures of two frames) and of the face discriminator's (pose and picture).
GENERATOR_INPUT, PAIR, FACE_INPUT, PICTURE = 6, 12, 6, 3


@dataclass(frozen=True)
class Size:
    """Of one run of a network on one picture.

    Attributes:
      macs: multiply-adds of its convolutions.
      parameters: numbers in its kernels, biases and norms.
      outputs: numbers that its convolutions write.
    """

    macs: int = 0
    parameters: int = 0
    outputs: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(
            self.macs + other.macs,
            self.parameters + other.parameters,
            self.outputs + other.outputs,
        )


def _conv(height: int, width: int, kernel: int, fan_in: int, fan_out: int) -> Size:
    """One whose output has height x width pixels."""
    weights, pixels = kernel**2 * fan_in * fan_out, height * width
    return Size(pixels * weights, weights + fan_out, pixels * fan_out)


def _up(height: int, width: int, fan_in: int, fan_out: int) -> Size:
    """A transposed one whose *input* has height x width pixels."""
    weights, pixels = 9 * fan_in * fan_out, height * width
    return Size(pixels * weights, weights + fan_out, 4 * pixels * fan_out)


def _blocks(height: int, width: int, channels: int, count: int, block: str) -> Size:
    if block == "full":
        layer = _conv(height, width, 3, channels, channels)
    else:
        depthwise = 9 * channels
        layer = _conv(height, width, 1, channels, channels) + Size(
            height * width * depthwise, depthwise, height * width * channels
        )
    return sum((layer for _ in range(2 * count)), Size())


def global_generator(
    height: int, width: int, ngf: int, halvings: int, blocks: int, block: str, head: bool = True
) -> Size:
    """nets.pix2pixhd.GlobalGenerator on a picture of height x width."""
    total = _conv(height, width, 7, GENERATOR_INPUT, ngf)
    for i in range(halvings):
        height, width = height // 2, width // 2
        total += _conv(height, width, 3, ngf * 2**i, ngf * 2 ** (i + 1))
    total += _blocks(height, width, ngf * 2**halvings, blocks, block)
    for i in reversed(range(halvings)):
        total += _up(height, width, ngf * 2 ** (i + 1), ngf * 2**i)
        height, width = 2 * height, 2 * width
    return total + _conv(height, width, 7, ngf, PICTURE) if head else total


def local_enhancer(height: int, width: int, g: Generator) -> Size:
    """nets.pix2pixhd.LocalEnhancer on a picture of height x width."""
    scale = 2**g.n_local_enhancers
    total = global_generator(
        height // scale, width // scale, g.ngf, g.n_downsampling, g.n_blocks, g.block, head=False
    )
    for n in range(g.n_local_enhancers - 1, -1, -1):
        rows, columns, channels = height >> n, width >> n, g.ngf * 2**n // scale
        total += _conv(rows, columns, 7, GENERATOR_INPUT, channels)
        total += _conv(rows // 2, columns // 2, 3, channels, 2 * channels)
        total += _blocks(rows // 2, columns // 2, 2 * channels, g.n_blocks_local, g.block)
        total += _up(rows // 2, columns // 2, 2 * channels, channels)
    return total + _conv(height, width, 7, g.ngf // scale, PICTURE)


def discriminator(
    height: int, width: int, fan_in: int, ndf: int, layers: int, batch_norm: bool = False
) -> Size:
    """nets.pix2pixhd.NLayerDiscriminator on a picture of height x width."""
    total = Size()
    for j in range(layers + 1):
        if j < layers:
            height, width = height // 2 + 1, width // 2 + 1
        else:
            height, width = height + 1, width + 1
        fan_out = min(ndf * 2**j, 512) if j else ndf
        total += _conv(height, width, 4, fan_in, fan_out)
        if batch_norm and j:
            total += Size(0, 2 * fan_out, 0)
        fan_in = fan_out
    return total + _conv(height + 1, width + 1, 4, fan_in, 1)


def multiscale(height: int, width: int, ndf: int, layers: int, scales: int) -> Size:
    """nets.pix2pixhd.MultiscaleDiscriminator on two frames of height x width."""
    total = Size()
    for _ in range(scales):
        total += discriminator(height, width, PAIR, ndf, layers)
        height, width = -(-height // 2), -(-width // 2)
    return total


def vgg19(height: int, width: int) -> Size:
    """nets.vgg.VGG19 on a picture of height x width."""
    total, fan_in = Size(), PICTURE
    for layer in VGG19:
        if layer == "M":
            height, width = height // 2, width // 2
        else:
            total += _conv(height, width, 3, fan_in, layer)
            fan_in = layer
    return total


# What is held for the backward pass, in numbers for each number that a convolution of a trained
# network writes. Measured: the slope of the temporary memory over the batch size of
# everybody_dance_now's global stage compiled for a TPU v5e; two_cores compiled for a CPU (its wider
# stages, as small's, hold 3.2 to 4.5; demo's 6.7).
ACTIVATIONS = {"accelerator": 3.0, "cpu": 4.5}
# Of a frozen network, which needs no gradients of its kernels (two_cores' face stage).
FROZEN = 1 / 3
# The gradient and the update of each trained parameter, float32 (the same compilation, batch 1).
GRADIENTS = 2


@dataclass(frozen=True)
class StageSize:
    """Of one training step of a stage.

    Attributes:
      flops: of its convolutions, two a multiply-add.
      state_bytes: parameters, Adam's moments and the average.
      held: numbers that convolutions write and a backward pass needs.
      learnt: trained parameters.
      itemsize: bytes of a number of those that are held.
    """

    flops: float
    state_bytes: int
    held: float
    learnt: int
    itemsize: int

    def temporary_bytes(self, accelerator: bool) -> float:
        """An estimate of what the compiler reserves beside the state."""
        times = ACTIVATIONS["accelerator" if accelerator else "cpu"]
        return times * self.itemsize * self.held + GRADIENTS * FLOAT * self.learnt


def has_formula(recipe: Recipe) -> bool:
    """Whether stage_size knows the recipe."""
    return isinstance(recipe, EverybodyDanceNow)


def stage_size(recipe: EverybodyDanceNow, name: str) -> StageSize:
    """Of one step of a stage of the recipe."""
    stage, g, d, f = recipe.stages()[name], recipe.generator, recipe.discriminator, recipe.face
    height, width = stage.height, stage.width
    frames = stage.batch_size * stage.window
    pairs = stage.batch_size * (stage.window - 1)
    if recipe.is_local(name):
        main = local_enhancer(height, width, g)
    else:
        main = global_generator(height, width, g.ngf, g.n_downsampling, g.n_blocks, g.block)
    judge = multiscale(height, width, d.ndf, d.n_layers, stage.num_D)
    networks = {"generator": main, "discriminator": judge}
    if name == "face":
        networks["face_generator"] = global_generator(
            f.size, f.size, f.ngf, f.n_downsampling, f.n_blocks, "full"
        )
        networks["face_discriminator"] = discriminator(
            f.size, f.size, FACE_INPUT, f.ndf, f.n_layers, batch_norm=True
        )
    trained = recipe.trained(name)
    macs = sum(
        times * networks[network].macs
        for network, times in _passes(recipe, name, frames, pairs)
        if network in networks
    )
    # With rematerialisation one frame of a window at a time.
    at_once = stage.batch_size if recipe.rematerialise else frames
    outputs = {
        "generator": at_once,
        "discriminator": 2 * pairs,
        "face_generator": at_once,
        "face_discriminator": 2 * frames,
    }
    held = sum(
        (1 if network in trained else FROZEN) * outputs[network] * networks[network].outputs
        for network in networks
    )
    if recipe.losses.perceptual == "vgg19":
        features = vgg19(height, width)
        if name == "face":
            features += vgg19(f.size, f.size)
        # Generated and real pictures forward, the generated ones backward.
        macs += 3 * frames * features.macs
        held += FROZEN * frames * features.outputs
    every = sum(size.parameters for size in networks.values())
    learnt = sum(networks[network].parameters for network in trained)
    average = sum(networks[n].parameters for n in trained if n.endswith("generator"))
    numbers = every + 2 * learnt + (average if recipe.averaging else 0)
    itemsize = 2 if recipe.dtype == "bfloat16" else FLOAT
    return StageSize(2 * macs, FLOAT * numbers, held, learnt, itemsize)


def _passes(
    recipe: EverybodyDanceNow, name: str, frames: int, pairs: int
) -> Iterator[tuple[str, int]]:
    """How often a step runs through each network. A forward pass is one, so is a gradient towards
    the inputs, and one towards the parameters."""
    if name != "face":
        yield "generator", 3 * frames
        # Generated pictures: forward, towards the pictures for the generator's losses, and both
        # ways for its own; real ones: forward and both ways.
        yield "discriminator", 7 * pairs
        return
    # The frozen generator passes gradients on through the previous frame.
    yield "generator", frames + pairs
    yield "discriminator", (7 if "discriminator" in recipe.trained(name) else 3) * pairs
    yield "face_generator", 3 * frames
    yield "face_discriminator", 7 * frames
