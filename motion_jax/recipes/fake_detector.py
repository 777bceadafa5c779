"""A detector of synthetic pictures: how likely a picture was made by a method of this program.

Everybody Dance Now (Chan et al., ICCV 2019) announces such a detector, trained on pictures of 48
people and tested on those of 14 others, and published neither it nor its network. What is here is
our own: a PatchGAN's discriminator (Isola et al. 2017) judges every patch, since a method's traces
are in all parts of its pictures (Chai et al. 2020), and the picture's logit is the mean of those of
its patches. It is trained by binary cross-entropy on real and synthetic pictures, as many of each.
docs/honest.md says what it is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from motion_jax.data.reading import Domains
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option, setting
from motion_jax.recipes import schedule
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments
from motion_jax.recipes.image_networks import Discriminator
from motion_jax.recipes.metric import Metric, named
from motion_jax.recipes.network import Network, applied, picture, updated
from motion_jax.recipes.one_stage import OnlyStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = ["RECIPE", "Blur", "Discriminator", "FakeDetector", "Stage"]

# Side of the kernel that blurs, in pixels: three deviations of the largest on each side.
_TAPS = 13


@dataclass(frozen=True)
class Blur:
    """Pictures are blurred at random in training, real and synthetic ones alike, so that the
    detector does not hang on the finest traces, which every copy of a film loses (Wang et al.
    2020).
    """

    share: float = 0.5
    """Of the pictures."""
    most: float = 2.0
    """The largest standard deviation, in pixels; each picture's is drawn between 0 and this."""


@dataclass(frozen=True)
class FakeDetector(OnlyStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "fake_detector"
    shows = ()
    paired = False
    detects = True

    detector: Discriminator = field(
        default_factory=lambda: Discriminator(ndf=32, n_layers=4, norm="instance")
    )
    """The network."""
    blur: Blur = field(default_factory=Blur)
    main_stage: Stage = field(default_factory=Stage)
    averaging: float = 0.0
    """Decay of the exponential average of the network's parameters, e.g. 0.999; 0 is off."""

    def validate(self) -> None:
        super().validate()
        schedule.check_counts(self, {"detector": {"ndf": 1, "n_layers": 1}})
        self.detector.check("main", self.main_stage)
        if self.detector.norm == "batch":
            raise UserError(
                f"{setting('recipe.detector.norm')} = 'batch' would judge a picture by those "
                "beside it; use 'instance' or 'none'."
            )
        if not (0 <= self.blur.share <= 1 and 0 <= self.blur.most <= 2):
            raise UserError(
                f"{setting('recipe.blur')} has share {self.blur.share:g} and most "
                f"{self.blur.most:g}; give a share from 0 to 1, and at most 2 pixels."
            )

    def reading(self, name: str) -> Domains:
        """Synthetic pictures are domain A, real ones domain B."""
        return Domains(*self.size, self.main_stage.batch_size)

    def check_dataset(self, dataset: PoseFrames) -> None:
        if {source.get("domain") for source in dataset.info.sources} != {"A", "B"}:
            raise UserError(
                f"The dataset {dataset.folder} does not hold real and synthetic pictures; make one "
                "with motion-jax import-data FOLDER "
                f"{option('layout')} real-synthetic (docs/honest.md says how they lie in it)."
            )

    # --- training ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        module = self.detector.module("float32")
        shown = (picture(*self.size),)
        return {"detector": Network(module, shown, "other", Adam(), averaged=self.averaging > 0)}

    def metrics(self, name: str) -> dict[str, Metric]:
        return named(Metric("detector"), "synthetic", "real")

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        """One update.

        batch: A (synthetic) and B (real), uint8 [B, H, W, 3]. Returns the new state, and the mean
        cross-entropy of the synthetic and of the real pictures, float32.
        """
        with jax.named_scope("input"):
            pictures = to_float(jnp.concatenate([batch["A"], batch["B"]]))
            pictures = self._blurred(pictures, jax.random.fold_in(state.key, state.step))
        count = len(batch["A"])

        def loss(trained: Params) -> tuple[Array, dict[str, Array]]:
            variables = {**state.params["detector"], "params": trained}
            logits = self.logits({"detector": variables}, pictures)
            # Of the logit x of probability p: -log p = softplus(-x), -log(1 - p) = softplus(x).
            synthetic = jnp.mean(jax.nn.softplus(-logits[:count]))
            real = jnp.mean(jax.nn.softplus(logits[count:]))
            return 0.5 * (synthetic + real), {"synthetic": synthetic, "real": real}

        gradient, losses = jax.grad(loss, has_aux=True)(state.params["detector"]["params"])
        rate = self.learning_rate(name, state.step)
        gradients = {"detector": gradient}
        return updated(self.networks(name), state, gradients, rate, self.averaging), losses

    def _blurred(self, pictures: Float[Array, "n h w 3"], key: Array) -> Float[Array, "n h w 3"]:
        """Some of the pictures blurred, each as its own drawn numbers say."""
        if not (self.blur.share and self.blur.most):
            return pictures
        which, how = jax.random.split(key)
        count = len(pictures)
        deviation = self.blur.most * jax.random.uniform(how, (count,))
        deviation *= jax.random.uniform(which, (count,)) < self.blur.share
        return jax.vmap(blurred)(pictures, deviation)

    # --- what a trained one says ---------------------------------------------------------------

    def patches(
        self, params: Params, pictures: Float[Array, "n h w 3"]
    ) -> Float[Array, "n rows columns"]:
        """Logits of the patches of pictures in [-1, 1]: above 0, synthetic is the likelier."""
        with jax.named_scope("detector"):
            module = self.detector.module("float32")
            return applied(module, params["detector"], pictures)[-1][..., 0]

    def logits(self, params: Params, pictures: Float[Array, "n h w 3"]) -> Float[Array, " n"]:
        """Of whole pictures in [-1, 1]; their logistic function is the probability that they are
        synthetic, where as many are as are not."""
        return jnp.mean(self.patches(params, pictures), axis=(1, 2))

    # --- samples -------------------------------------------------------------------------------

    def seen(self, moments: Moments) -> Any:
        return moments["frames"]

    def synthesize(
        self, params: Params, seen: Any, carry: tuple[()], name: str, count: Array | None = None
    ) -> tuple[Array, tuple[()]]:
        """The pictures in grey, red where patches look synthetic: float32 [n, H, W, 3]."""
        pictures = to_float(seen)
        chance = jax.nn.sigmoid(self.patches(params, pictures))
        shape = (*pictures.shape[:-1], 1)
        chance = jax.image.resize(chance[..., None], shape, "linear")
        grey = jnp.mean(pictures, axis=-1, keepdims=True)
        red = jnp.array([1.0, -1.0, -1.0])
        return grey + 0.6 * chance * (red - grey), carry

    def rows(
        self, moments: Moments, pictures: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        """Synthetic pictures, and where they look so."""
        return {"synthetic": list(moments["frames"]), "seen as such (red)": list(pictures)}


def blurred(image: Float[Array, "h w c"], deviation: Float[Array, ""]) -> Float[Array, "h w c"]:
    """The picture under a Gaussian of this standard deviation in pixels (0: as it is), its border
    repeated."""
    away = jnp.arange(_TAPS) - _TAPS // 2
    kernel = jnp.exp(-0.5 * jnp.square(away / jnp.maximum(deviation, 1e-3)))
    kernel /= kernel.sum()
    half = _TAPS // 2
    for axis in (0, 1):
        padding = [(half, half) if each == axis else (0, 0) for each in range(3)]
        wide = jnp.pad(image, padding, "edge")
        parts = [
            kernel[i] * jax.lax.slice_in_dim(wide, i, i + image.shape[axis], axis=axis)
            for i in range(_TAPS)
        ]
        image = sum(parts[1:], parts[0])
    return image


RECIPE = FakeDetector
