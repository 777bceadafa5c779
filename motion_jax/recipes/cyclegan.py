"""CycleGAN (Zhu, Park, Isola, Efros; ICCV 2017): pictures of domain A as pictures of domain B, and
back, from pictures that are not paired.

Generator A makes B of A and generator B makes A of B; discriminator A judges domain *B*, to which
generator A leads, and discriminator B judges domain A (the names of the PyTorch code, not of the
paper). `transfer` and samples show A as B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, cast

import jax
import numpy as np
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax import losses
from motion_jax.data.reading import Domains
from motion_jax.errors import UserError, setting
from motion_jax.pose.pose_pictures import drawn, poses_of
from motion_jax.recipes import image_networks, pool
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.base import Moments, Shown
from motion_jax.recipes.image_networks import Discriminator, Generator, generated
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.network import Network, averages, picture, trained_apply
from motion_jax.recipes.one_stage import OneStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Kind, Params, State

# What configs of this recipe are made of.
__all__ = ["RECIPE", "CycleGAN", "Discriminator", "Generator", "Losses", "Stage"]


@dataclass(frozen=True)
class Losses(image_networks.Losses):
    """Weights of the generators' losses; the adversarial ones have weight 1."""

    gan: Literal["vanilla", "lsgan"] = "lsgan"
    """Cross-entropy on logits, or least squares."""
    cycle_A: float = 10.0
    """Weight of |B(A(a)) - a|."""
    cycle_B: float = 10.0
    """Weight of |A(B(b)) - b|."""
    identity: float = 0.5
    """Weight of |A(b) - b| and |B(a) - a|, each times the cycle weight of the domain that the
    picture is of; 0 is off."""


@struct.dataclass
class CycleState(State):
    """State with the pictures that discriminators A and B are shown again."""

    pools: Params


@dataclass(frozen=True)
class CycleGAN(OneStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "cyclegan"
    generator: Generator = Generator(kind="resnet", norm="instance", dropout=False)
    """Both generators."""
    discriminator: Discriminator = Discriminator(norm="instance")
    """Both discriminators."""
    losses: Losses = field(default_factory=Losses)
    domain_A: Literal["frames", "poses"] = "frames"
    """What domain A is: "frames" of another person or place, or "poses", the pose pictures of the
    dataset, whose frames are domain B, without their pairing."""
    pool_size: int = 50
    """Generated pictures that each discriminator may be shown again; 0: none."""

    @property
    def shows(self) -> tuple[Shown, ...]:
        return ("poses",) if self.domain_A == "poses" else ("frames",)

    @property
    def paired(self) -> bool:
        """A picture of domain A has no partner in B, but a pose is that of its frame."""
        return self.domain_A == "poses"

    def validate(self) -> None:
        super().validate()
        if self.pool_size < 0:
            raise UserError(
                f"{setting('recipe.pool_size')} = {self.pool_size} is less than 0; 0 is no pool."
            )

    # --- networks ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        shown = (picture(*self.size),)
        maker, judge = self.generator.module(self.dtype), self.discriminator.module(self.dtype)
        generator = Network(maker, shown, "generator", Adam(), averaged=self.averaging > 0)
        discriminator = Network(judge, shown, "discriminator", Adam())
        return {
            "generator_A": generator,
            "generator_B": generator,
            "discriminator_A": discriminator,
            "discriminator_B": discriminator,
        }

    def metrics(self, name: str) -> dict[str, Metric]:
        identities = ("idt_A", "idt_B") if self.losses.identity else ()
        generators = named(GENERATOR, "G_A", "G_B", "cycle_A", "cycle_B", *identities)
        return generators | named(DISCRIMINATOR, "D_A", "D_B")

    def init(self, key: Array, name: str, previous: State | None = None) -> CycleState:
        """The state at the start, with empty pools."""
        begun = super().init(key, name, previous)
        pools = {side: pool.empty(self.pool_size, *self.size) for side in ("A", "B")}
        return CycleState(**{f.name: getattr(begun, f.name) for f in fields(begun)}, pools=pools)

    # --- training ------------------------------------------------------------------------------

    def train_step(
        self,
        state: CycleState,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[CycleState, dict[str, Array]]:
        """One update of both generators, then one of both discriminators.

        batch: A and B, uint8 [B, H, W, 3] each; A may be keypoints [B, 137, 3]. Returns the new
        state and float32 scalars named as the reference logs them (with their weights).
        """
        with jax.named_scope("input"):
            a, b = self._pictures(batch["A"]), to_float(batch["B"])
        return self.step(state, a, b, name)

    def reading(self, name: str) -> Domains:
        poses = self.domain_A == "poses"
        return Domains(*self.size, self.main_stage.batch_size, poses=poses)

    def _pictures(self, poses: Array) -> Array:
        """Of domain A, in [-1, 1], from keypoints or pictures."""
        return 2.0 * drawn(poses, self.pose_style, *self.size) - 1.0

    def step(
        self, state: CycleState, a: Float[Array, "n h w 3"], b: Float[Array, "n h w 3"], name: str
    ) -> tuple[CycleState, dict[str, Array]]:
        """train_step from pictures in [-1, 1]."""
        networks, gan, weights = self.networks(name), losses.GAN[self.losses.gan], self.losses
        params, moments = dict(state.params), dict(state.optimizer)
        rate = self.learning_rate(name, state.step)
        dropout_key, *pool_keys = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        generators = ("generator_A", "generator_B")

        def difference(made: Array, real: Array, weight: float, scope: str) -> Array:
            with jax.named_scope(scope):
                return weight * losses.mean_absolute(made, real)

        def generator_terms(
            trained: Params,
        ) -> tuple[Array, tuple[dict[str, Array], Params, Array, Array]]:
            now = {g: {**params[g], "params": trained[g]} for g in generators}
            calls, judges = iter(range(6)), {}

            def run(network: str, picture: Array) -> Array:
                key = None
                if self.generator.dropout:
                    key = jax.random.fold_in(dropout_key, next(calls))

                def apply(variables: Params, picture: Array) -> tuple[Array, Params]:
                    with jax.named_scope(network):
                        return trained_apply(networks[network].module, variables, picture, key)

                apply = jax.checkpoint(apply) if self.rematerialise else apply
                made, now[network] = apply(now[network], picture)
                return made

            fake_b = run("generator_A", a)
            cycled_a = run("generator_B", fake_b)
            fake_a = run("generator_B", b)
            cycled_b = run("generator_A", fake_a)
            terms = {}
            if weights.identity:
                same_b, same_a = run("generator_A", b), run("generator_B", a)
                for term, made, real, cycle in (
                    ("idt_A", same_b, b, weights.cycle_B),
                    ("idt_B", same_a, a, weights.cycle_A),
                ):
                    terms[term] = difference(made, real, cycle * weights.identity, term)
            for side, fake in (("A", fake_b), ("B", fake_a)):
                network = f"discriminator_{side}"
                module = networks[network].module
                with jax.named_scope(network):
                    output, judges[network] = trained_apply(module, params[network], fake)
                with jax.named_scope(f"G_{side}"):
                    terms[f"G_{side}"] = gan([output], 1.0)
            terms["cycle_A"] = difference(cycled_a, a, weights.cycle_A, "cycle_A")
            terms["cycle_B"] = difference(cycled_b, b, weights.cycle_B, "cycle_B")
            statistics = {network: _statistics(tree) for network, tree in (now | judges).items()}
            return cast(Array, sum(terms.values())), (terms, statistics, fake_b, fake_a)

        step = jax.grad(generator_terms, has_aux=True)
        trained = {g: params[g]["params"] for g in generators}
        gradient, (metrics, statistics, fake_b, fake_a) = step(trained)
        params = {network: {**tree, **statistics[network]} for network, tree in params.items()}
        for network in generators:
            params[network], moments[network] = networks[network].stepped(
                network, params[network], gradient[network], moments[network], rate, state.step
            )
        pools = {}
        sides = (("A", pool_keys[0], b, fake_b), ("B", pool_keys[1], a, fake_a))
        for side, key, real, fake in sides:
            pools[side], shown = pool.exchange(state.pools[side], fake, key)
            network = f"discriminator_{side}"

            def judged(trained: Params, network=network, real=real, shown=shown):
                variables, values = {**params[network], "params": trained}, []
                for pictures, target in ((real, 1.0), (shown, 0.0)):
                    with jax.named_scope(network):
                        module = networks[network].module
                        output, variables = trained_apply(module, variables, pictures)
                    values.append(gan([output], target))
                return 0.5 * sum(values), variables

            before = params[network]["params"]
            step = jax.value_and_grad(judged, has_aux=True)
            (metrics[f"D_{side}"], variables), change = step(before)
            judge = {**variables, "params": before}
            params[network], moments[network] = networks[network].stepped(
                network, judge, change, moments[network], rate, state.step
            )
        average = averages(state.averaged, params, state.step, self.averaging)
        state = state.replace(
            step=state.step + 1, params=params, optimizer=moments, averaged=average, pools=pools
        )
        return state, metrics

    # --- synthesis -----------------------------------------------------------------------------

    def seen(self, moments: Moments) -> Array:
        return poses_of(moments) if self.domain_A == "poses" else moments["frames"]

    def synthesize(
        self, params: Params, seen: Array, carry: tuple[()], name: str, count: Array | None = None
    ) -> tuple[Array, tuple[()]]:
        """Pictures of domain A (uint8 [n, H, W, 3], or keypoints to draw them from) as pictures of
        domain B, each by itself."""
        pictures = self._pictures(seen)
        frames = generated(self.generator, self.test, self.dtype, params["generator_A"], pictures)
        return frames, carry

    def rows(
        self, moments: Moments, pictures: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        """A, and A as B."""
        if self.domain_A == "frames":
            return {"A": list(moments["frames"]), "A as B": list(pictures)}
        made = super().rows(moments, pictures, height, width)
        return {label: row for label, row in made.items() if label != "real"}

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        return {"generator_A": {**state.params, **state.averaged}["generator_A"]}


def _statistics(variables: Params) -> Params:
    """Without what the optimiser changes."""
    return {collection: tree for collection, tree in variables.items() if collection != "params"}


RECIPE = CycleGAN
