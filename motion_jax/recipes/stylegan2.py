"""StyleGAN2 (Karras et al., CVPR 2020) with the adaptive augmentation of StyleGAN2-ADA (NeurIPS
2020): pictures like those of a dataset, out of noise.

A step is what rosinality's stylegan2-pytorch does in one: the discriminator, at every r1_every-th
step its penalty with a second update, the generator, at every path_every-th step the path length
with a second update, and the average. What StyleGAN2-ADA does besides: the mean of w is tracked,
and p is adapted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax.data.reading import Pictures
from motion_jax.devices import layout
from motion_jax.errors import UserError, setting
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets import stylegan2_discriminator
from motion_jax.recipes import adaptive, schedule
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.adaptive import Adapted, Augment, Random
from motion_jax.recipes.base import Moments
from motion_jax.recipes.freezing import Freeze, frozen_paths, restored
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.network import Network, applied, picture
from motion_jax.recipes.one_stage import OnlyStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.pretrained import Named, Pretrained
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State
from motion_jax.recipes.stylegan2_settings import Discriminator, Generator, Losses

# What configs of this recipe are made of.
__all__ = [
    "RECIPE",
    "Augment",
    "Discriminator",
    "Freeze",
    "Generator",
    "Losses",
    "Stage",
    "StyleGAN2",
]


@struct.dataclass
class Draws:
    """The random numbers of one phase.

    z: two latents [2, n, latent]; first: entries of w that are of the first one; noise: one map a
    convolution, [n, r, r]; picture: of the path length, [n, H, W, C].
    """

    z: Array
    first: Array
    noise: list[Array]
    picture: Array | None = None


@struct.dataclass
class StyleState(State):
    """State with the mean path length (float32) and the augmentation's controller."""

    path_mean: Array
    augment: Adapted


@dataclass(frozen=True)
class StyleGAN2(OnlyStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "stylegan2"
    shows = ("noise",)
    paired = False

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    augment: Augment = field(default_factory=Augment)
    freeze: Freeze = field(default_factory=Freeze)
    source: str = ""
    """Run or weight file of the generator that a fine-tuning began with, for losses.structure and
    freeze.source_styles."""
    main_stage: Stage = field(default_factory=lambda: Stage(learning_rate=2e-3))
    averaging: float = 0.5 ** (32 / 10_000)
    """Decay of the exponential average of the generator's parameters; 0 is off."""
    truncation: float = 0.7
    """Of the pictures that are shown: 1 none, towards 0 ever nearer to the mean."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, styles and losses stay float32."""

    def validate(self) -> None:
        super().validate()
        height, width = self.size
        if height != width or height < 8 or height & (height - 1):
            raise UserError(
                f"{setting('recipe.main_stage.height')} and width are {height} and {width}; "
                "StyleGAN2's pictures are square, of 8, 16, 32, ... pixels."
            )
        count = len(nets.levels(height))
        self.generator.check(height)
        schedule.check_counts(
            self,
            {
                "generator": {"latent": 1, "style": 1, "mapping_layers": 1, "channel_max": 1},
                "losses": {"r1_every": 1, "path_every": 1, "path_shrink": 1},
                "discriminator": {"stddev_group": 1, "stddev_channels": 0},
            },
        )
        self.discriminator.check(height, self.main_stage.batch_size)
        if not 0.0 <= self.averaging < 1.0:
            raise UserError(f"{setting('recipe.averaging')} = {self.averaging} is no decay.")
        self.augment.check()
        self.freeze.check(count)
        self._check_source(count)

    def check_dataset(self, dataset: Any) -> None:
        if len(dataset) < 2:
            raise UserError(
                f"The dataset {dataset.folder} has one picture, which a generator could only "
                "repeat; give some hundred, or teach a trained generator that picture's style: "
                "motion-jax one-style."
            )

    @property
    def _beside_source(self) -> bool:
        return self.losses.structure > 0 or self.freeze.source_styles > 0

    def _check_source(self, levels: int) -> None:
        if self.losses.structure and not 1 <= self.losses.structure_levels <= levels:
            raise UserError(
                f"{setting('recipe.losses.structure_levels')} = {self.losses.structure_levels}: "
                f"the generator has {levels} levels."
            )
        if self._beside_source and not self.source:
            raise UserError(
                f"{setting('recipe.losses.structure')} and recipe.freeze.source_styles compare "
                f"with the generator that training began with: name it, {setting('recipe.source')}."
            )

    def pretrained(self) -> Mapping[str, Pretrained]:
        if not self._beside_source:
            return {}
        maker, _ = self.modules()
        example, loader = (1, self.generator.latent), "motion_jax.latents.model:load_variables"
        return {"source": Named(maker, example, loader, self.source)}

    # --- networks ------------------------------------------------------------------------------

    def modules(self) -> tuple[nets.Generator, stylegan2_discriminator.Discriminator]:
        """Generator and discriminator."""
        generator = self.generator.module(self.size[0], self.dtype)
        return generator, self.discriminator.module(generator)

    def networks(self, name: str) -> dict[str, Network]:
        generator, judge = self.modules()
        z = jax.ShapeDtypeStruct((1, self.generator.latent), jnp.float32)
        shown = picture(*self.size, self.generator.channels)
        return {
            "generator": Network(
                generator,
                (z,),
                "generator",
                self._adam(self.losses.path_every if self.losses.path else 0),
                averaged=self.averaging > 0,
            ),
            "discriminator": Network(
                judge, (shown,), "discriminator", self._adam(self.losses.r1_every)
            ),
        }

    @staticmethod
    def _adam(every: int) -> Adam:
        """Rate and decay such that a network that is stepped once more in every so many steps
        learns as fast as without (Karras et al. 2020, section 3.1); 0: without."""
        ratio = every / (every + 1) if every else 1.0
        return Adam(b1=0.0, b2=0.99**ratio, eps=1e-8, rate=ratio)

    def metrics(self, name: str) -> dict[str, Metric]:
        penalties = named(Metric("penalties"), "r1", "path")
        scores = named(Metric("scores"), "real_score", "fake_score")
        more = {}
        if self.augment.mode == "adaptive":
            more = named(Metric("augmentation"), "augment_p", "real_signs")
        if self.losses.structure:
            penalties |= named(Metric("structure"), "structure")
        losses = named(GENERATOR, "G") | named(DISCRIMINATOR, "D")
        return losses | penalties | scores | more | {"path_length": Metric("path length")}

    def init(self, key: Array, name: str, previous: State | None = None) -> StyleState:
        begun = super().init(key, name, previous)
        return StyleState(
            **{f.name: getattr(begun, f.name) for f in fields(begun)},
            path_mean=jnp.zeros((), jnp.float32),
            augment=adaptive.begun(self.augment),
        )

    def rhythm(self, name: str) -> dict[str, int]:
        path = {"path": self.losses.path_every} if self.losses.path else {}
        return {"r1": self.losses.r1_every} | path

    # --- training ------------------------------------------------------------------------------

    def reading(self, name: str) -> Pictures:
        return Pictures(*self.size, self.main_stage.batch_size)

    def _path_batch(self, batch: int) -> int:
        return max(1, batch // self.losses.path_shrink)

    def train_step(
        self,
        state: StyleState,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[StyleState, dict[str, Array]]:
        """One step on real pictures, "frames" uint8 [B, H, W, 3]."""
        real = to_float(batch["frames"])
        key = jax.random.fold_in(state.key, state.step)
        n, keys = real.shape[0], jax.random.split(key, 5)
        fewer = self._path_batch(n * layout.shares())
        if fewer % layout.shares():
            raise UserError(
                f"The path length is measured on {fewer} pictures, which {layout.shares()} "
                f"devices cannot share; use {setting('devices.strategy')} = jit."
            )
        draws = {"d": self.drawn(keys[0], n), "g": self.drawn(keys[1], n)}
        if "path" in kind:
            draws["path"] = self.drawn(keys[2], fewer // layout.shares(), picture=True)
        return self.step(state, real, draws, keys[3], name, kind, frozen)

    def drawn(self, key: Array, n: int, picture: bool = False) -> Draws:
        """The random numbers of one phase, of n pictures (on this device)."""
        mixed, where, latents, *keys = jax.random.split(key, 5)
        count = nets.style_count(self.size[0])
        first = jax.random.randint(where, (), 1, count)
        first = jnp.where(jax.random.uniform(mixed) < self.losses.mixing, first, count)

        def normal(key: Array, shape: tuple[int, ...], axis: int = 0) -> Array:
            return layout.drawn(lambda shape: jax.random.normal(key, shape), shape, axis)

        sizes = nets.noise_sizes(self.size[0])
        each = jax.random.split(keys[0], len(sizes))
        shape = (n, *self.size, self.generator.channels)
        return Draws(
            z=normal(latents, (2, n, self.generator.latent), 1),
            first=first,
            noise=[normal(k, (n, r, r)) for k, r in zip(each, sizes, strict=True)],
            picture=normal(keys[1], shape) if picture else None,
        )

    def step(
        self,
        state: StyleState,
        real: Float[Array, "n h w c"],
        draws: Mapping[str, Draws],
        key: Array,
        name: str,
        kind: Kind = (),
        frozen: Params | None = None,
    ) -> tuple[StyleState, dict[str, Array]]:
        """train_step from pictures in [-1, 1] and random numbers by phase: "d", "g" and "path".

        key: of the augmentation; frozen: the networks of `pretrained`.
        """
        networks, losses = self.networks(name), self.losses
        generator, judge = (networks[n].module for n in ("generator", "discriminator"))
        params, moments = dict(state.params), dict(state.optimizer)
        rate = self.learning_rate(name, state.step)
        keys = iter(jax.random.split(key, 4))
        keep = frozen_paths(self.freeze, *self.modules())

        def augmented(images: Array) -> Array:
            if self.augment.mode == "none":
                return images
            random = Random(next(keys), state.augment.p, images.shape[0])
            with jax.named_scope("augment"):
                return adaptive.varied(images, self.augment, random)

        def styles(variables: Params, draws: Draws) -> tuple[Array, Array]:
            """(w of every layer, the w of the first latent)."""
            both = applied(
                generator, variables, draws.z.reshape(-1, draws.z.shape[-1]), method="map"
            )
            one, two = both.reshape(2, -1, both.shape[-1])
            mine = jnp.arange(nets.style_count(self.size[0]))[:, None] < draws.first
            return jnp.where(mine, one[:, None], two[:, None]), one

        def laid_out(variables: Params, draws: Draws) -> tuple[Array, Array]:
            """`styles`, the first ones the source's where that is asked for."""
            ws, one = styles(variables, draws)
            if self.freeze.source_styles:
                assert frozen is not None, "see pretrained"
                theirs, _ = styles(frozen["source"], draws)
                kept = jnp.arange(ws.shape[1])[:, None] < self.freeze.source_styles
                ws = jnp.where(kept, theirs, ws)
            return ws, one

        def made(weights: Params, draws: Draws) -> tuple[Array, Array, Array]:
            """(pictures, their w of every layer, the w of the first latent)."""
            variables = {**params["generator"], "params": weights}
            with jax.named_scope("generator"):
                ws, one = laid_out(variables, draws)
                return applied(generator, variables, ws, draws.noise, method="draw"), ws, one

        def judged(weights: Params, images: Array) -> Array:
            with jax.named_scope("discriminator"):
                return applied(judge, {"params": weights}, images)

        def moved(network: str, gradient: Params) -> None:
            before = params[network]
            after, moments[network] = networks[network].stepped(
                network, before, gradient, moments[network], rate, state.step
            )
            params[network] = restored(before, after, keep[network])

        metrics: dict[str, Array] = {}

        # The discriminator.
        fake, _, _ = made(params["generator"]["params"], draws["d"])
        shown, fake = augmented(real), augmented(jax.lax.stop_gradient(fake))

        def of_judge(weights: Params) -> tuple[Array, tuple[Array, Array]]:
            reals, fakes = judged(weights, shown), judged(weights, fake)
            loss = jax.nn.softplus(-reals).mean() + jax.nn.softplus(fakes).mean()
            return loss, (reals, fakes)

        weights = params["discriminator"]["params"]
        (metrics["D"], (reals, fakes)), change = jax.value_and_grad(of_judge, has_aux=True)(weights)
        metrics |= {"real_score": reals.mean(), "fake_score": fakes.mean()}
        moved("discriminator", change)
        augment = state.augment
        if self.augment.mode == "adaptive":
            augment = adaptive.adapted(self.augment, augment, reals)
        if "r1" in kind:
            again = next(keys)

            def penalty(weights: Params) -> tuple[Array, Array]:
                def total(images: Array) -> Array:
                    if self.augment.mode != "none":
                        random = Random(again, augment.p, images.shape[0])
                        images = adaptive.varied(images, self.augment, random)
                    return judged(weights, images).sum()

                slope = jax.grad(total)(real)
                value = jnp.square(slope).sum((1, 2, 3)).mean()
                return 0.5 * losses.r1 * losses.r1_every * value, value

            with jax.named_scope("r1"):
                weights = params["discriminator"]["params"]
                change, metrics["r1"] = jax.grad(penalty, has_aux=True)(weights)
            moved("discriminator", change)

        # The generator.
        def of_generator(weights: Params) -> tuple[Array, tuple[Array, Array]]:
            images, ws, w = made(weights, draws["g"])
            scores = judged(params["discriminator"]["params"], augmented(images))
            loss = jax.nn.softplus(-scores).mean()
            total = loss
            if losses.structure:
                total = total + structure(weights, ws)
            return total, (loss, w)

        def structure(weights: Params, ws: Array) -> Array:
            """How far features are from the source's, each with noise of its own."""
            assert frozen is not None, "see pretrained"
            seen = nets.levels(self.size[0])[: losses.structure_levels]
            theirs, _ = styles(frozen["source"], draws["g"])

            def features(variables: Params, ws: Array, noise: list[Array]) -> dict[int, Array]:
                return applied(generator, variables, ws, noise, seen=seen, method="draw")[1]

            with jax.named_scope("structure"):
                mine = features({**params["generator"], "params": weights}, ws, draws["g"].noise)
                others = features(frozen["source"], theirs, draws["d"].noise)
                apart = [jnp.square(mine[size] - others[size]).mean() for size in seen]
                return losses.structure * jnp.stack(apart).sum()

        weights = params["generator"]["params"]
        (total, (metrics["G"], w)), change = jax.value_and_grad(of_generator, has_aux=True)(weights)
        if losses.structure:
            metrics["structure"] = total - metrics["G"]
        moved("generator", change)
        path_mean = state.path_mean
        if "path" in kind:

            def of_path(weights: Params) -> tuple[Array, tuple[Array, Array, Array]]:
                given = draws["path"]
                _, ws, _ = made(weights, given)
                assert given.picture is not None, "the path length has a random picture"
                direction = given.picture / math.sqrt(self.size[0] * self.size[1])
                variables = {**params["generator"], "params": weights}

                def along(ws: Array) -> Array:
                    images = applied(generator, variables, ws, given.noise, method="draw")
                    return (images * direction).sum()

                slope = jax.grad(along)(ws)
                lengths = jnp.sqrt(jnp.square(slope).sum(2).mean(1))
                mean = layout.batch_mean(lengths.mean())
                after = state.path_mean + losses.path_decay * (mean - state.path_mean)
                value = jnp.square(lengths - after).mean()
                return losses.path * losses.path_every * value, (value, mean, after)

            with jax.named_scope("path"):
                weights = params["generator"]["params"]
                change, found = jax.grad(of_path, has_aux=True)(weights)
            metrics["path"], metrics["path_length"], path_mean = found
            moved("generator", change)

        # The mean of w; of a batch on several devices all of it counts.
        centre = params["generator"]["buffers"]["mapping"]["average"]
        centre = nets.moved_average(centre, layout.whole_batch(w))
        params["generator"] = _with_centre(params["generator"], centre)
        metrics |= adaptive.shown(self.augment, augment)
        state = state.replace(
            step=state.step + 1,
            params=params,
            optimizer=moments,
            averaged=self._averages(state.averaged, params),
            path_mean=path_mean,
            augment=augment,
        )
        return state, metrics

    def _averages(self, old: Params, params: Params) -> Params:
        """Of parameters; buffers are those of the generator itself."""

        def mixed(old: Array, new: Array) -> Array:
            return self.averaging * old + (1.0 - self.averaging) * new

        with jax.named_scope("averaging"):
            return {
                name: {**params[name], "params": jax.tree.map(mixed, tree["params"], now)}
                for name, tree in old.items()
                for now in [params[name]["params"]]
            }

    # --- synthesis -----------------------------------------------------------------------------

    def seen(self, moments: Moments) -> Float[np.ndarray, "n z"]:
        """Latents, one for each key."""
        keys = jnp.asarray(moments["keys"], jnp.uint32)

        def one(data: Array) -> Array:
            key = jax.random.wrap_key_data(data, impl="threefry2x32")
            return jax.random.normal(key, (self.generator.latent,))

        return np.asarray(jax.vmap(one)(keys), np.float32)

    def film(self, moments: Moments, every: int = 25) -> Float[np.ndarray, "n z"]:
        """Latents on the way from each `every`th key to the next, and back to the first."""
        z = self.seen({"keys": moments["keys"][::every]})
        place = np.arange(len(moments["keys"])) / every
        first = place.astype(int)
        share = (place - first)[:, None].astype(np.float32)
        one, two = z[first], z[(first + 1) % len(z)]
        # On a circle between the two: their lengths are alike, a straight way would pass near 0.
        return np.cos(share * np.pi / 2) * one + np.sin(share * np.pi / 2) * two

    def synthesize(
        self, params: Params, seen: Array, carry: Any, name: str, count: Array | None = None
    ) -> tuple[Array, Any]:
        """Pictures of latents, truncated, with the fixed noise; nothing is carried."""
        generator, _ = self.modules()
        images = applied(generator, params["generator"], seen, psi=self.truncation)
        return jnp.clip(images, -1.0, 1.0), carry

    def synthesis_params(self, state: State) -> Params:
        return {"generator": {**state.params, **state.averaged}["generator"]}


def _with_centre(variables: Params, centre: Array) -> Params:
    buffers = variables["buffers"]
    mapping = {**buffers["mapping"], "average": centre}
    return {**variables, "buffers": {**buffers, "mapping": mapping}}


RECIPE = StyleGAN2
