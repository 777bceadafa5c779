"""What the rest of the program knows of a recipe."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float32, UInt8

from motion_jax.data.reading import Reading
from motion_jax.data.settings import Data
from motion_jax.errors import UserError
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.pose_pictures import READY, poses_of, shown
from motion_jax.recipes import beginning, schedule
from motion_jax.recipes.metric import Metric
from motion_jax.recipes.network import Network, Work
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Kind, Params, State

# What a generator can be shown of a moment: a pose, as keypoints or as a ready picture of it
# ("poses"); keypoints themselves; the picture of the one who drives ("frames"); a random key
# ("noise").
Shown = Literal["poses", "keypoints", "frames", "noise"]

# The size_fields of a recipe whose fields are a generator and a discriminator.
GENERATOR_SIZES = {
    "width": "generator.ngf",
    "blocks": "generator.n_blocks",
    "downsamplings": "generator.n_downsampling",
    "discriminator width": "discriminator.ndf",
}

# Arrays by name, each with a leading axis of moments: "keypoints" float32 [n, 137, 3] in pixels of
# the stage's size or "pose_pictures" uint8 [n, H, W, 3]; "face_boxes" float32 [n, 4]; "frames"
# uint8 [n, H, W, 3]; "plates" likewise; "keys" uint32 [n, 2].
Moments = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A system: hyperparameters as fields, pure functions as methods.

    Loop, samples, transfer, evaluation and profiles use what is here. Each stage's settings are in
    a field NAME_stage, with at least what schedule.Stage has.

    Attributes:
      shows: what a trained generator is shown, see Shown. `seen` makes it of moments that have it.
      paired: whether the frame of a record is what should be made of what is seen of it, so that
        results can be measured against it.
      pose_style: how keypoints are drawn; None where they are not.
      background: "plate" where the generator makes a person and a matte, which are laid over the
        clip's plate (data/plates.py): moments then have "plates", else pictures have four channels,
        the last the alpha. "drawn" where it makes whole pictures.
      wants_photo: whether clips begin with a photo, the `reference` of `start`, whose person is
        made to move: see `reference`.
      draws_faces: whether what it is shown are faces cut out as FFHQ's (faces/align.py).
      identities: how many people one run knows; above 1 `seen` is told by weights who it is
        ("identities" of moments, float32 [n, people]), and `of_person` chooses one. 0: one, or
        whoever is in the pictures.
      detects: whether its network tells synthetic pictures and makes none: see `logits`. What
        `synthesize` gives is then only for people to look at.
      dtype, averaging, rematerialise: of recipes that have no such field.
      given: what the picture is called that a generator is given, for people.
    """

    if TYPE_CHECKING:
        # Class attributes below; declared as properties, a recipe may have a field, a property or
        # another class attribute in their place.

        @property
        def shows(self) -> tuple[Shown, ...]: ...
        @property
        def paired(self) -> bool: ...
        @property
        def pose_style(self) -> PoseStyle | None: ...
        @property
        def background(self) -> str: ...
        @property
        def wants_photo(self) -> bool: ...
        @property
        def draws_faces(self) -> bool: ...
        @property
        def detects(self) -> bool: ...
        @property
        def identities(self) -> int: ...
        @property
        def dtype(self) -> str: ...
        @property
        def averaging(self) -> float: ...
        @property
        def rematerialise(self) -> bool: ...
        @property
        def given(self) -> str: ...
    else:
        shows = ("poses",)
        paired = True
        pose_style = None
        background = "drawn"
        wants_photo = False
        draws_faces = False
        detects = False
        identities = 0
        dtype = "float32"
        averaging = 0.0
        rematerialise = False

        @property
        def given(self):
            return "pose picture" if "poses" in self.shows else "picture"

    @property
    def name(self) -> str:
        """Its name in config.json: that of its module, or of its entry point."""
        return type(self).__module__.rpartition(".")[2]

    def stages(self) -> dict[str, Any]:
        """Settings of the stages to run, in order: here the fields NAME_stage that have steps."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name.endswith("_stage")}
        return {
            name.removesuffix("_stage"): stage for name, stage in found.items() if stage.steps > 0
        }

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        raise NotImplementedError

    # --- how large it is -----------------------------------------------------------------------

    @property
    def size_fields(self) -> Mapping[str, str]:
        """The fields that say how large its networks are, by what people call them.

        Of these what it has: "width", channels of the generator at its full size; "blocks",
        residual blocks at the generator's lowest resolution; "downsamplings", halvings in the
        generator; "discriminator width". {"width": "generator.ngf"}, for example.
        """
        return {}

    def network_size(self, name: str) -> int | None:
        """The value of one of `size_fields`; None where the recipe has no such field."""
        field = self.size_fields.get(name)
        return None if field is None else attrgetter(field)(self)

    def resized(self, sizes: Mapping[str, int], discriminator: bool = True) -> Self:
        """The recipe with other values of some of its `size_fields`.

        discriminator: whether its width changes in proportion to the generator's.
        """
        sizes = dict(sizes)
        own, width = self.network_size("discriminator width"), self.network_size("width") or 0
        if discriminator and own is not None and width > 0 and "width" in sizes:
            # A width that cannot be is refused as the generator's, not as what follows from it.
            sizes["discriminator width"] = max(round(own * sizes["width"] / width), 1)
        recipe: Any = self  # its class says which fields it has
        for name, value in sizes.items():
            part, _, field = self.size_fields[name].rpartition(".")
            changed = replace(getattr(recipe, part), **{field: value}) if part else value
            recipe = replace(recipe, **{part or field: changed})
        return recipe

    @property
    def variants(self) -> Mapping[str, tuple[Any, ...]]:
        """Settings of the generator besides its sizes that make it faster or slower, by the names
        of fields as in `size_fields`, and the values to try: see distill."""
        return {}

    def varied(self, settings: Mapping[str, Any]) -> Self:
        """The recipe with other values of some of its `variants`."""
        recipe: Any = self
        for path, value in settings.items():
            part, _, field = path.rpartition(".")
            recipe = replace(recipe, **{part: replace(getattr(recipe, part), **{field: value})})
        return recipe

    def in_one_stage(self) -> Self:
        """The recipe that trains its last network alone, for the steps of all stages; itself where
        it has but one."""
        return self

    def size_multiple(self, name: str) -> int:
        """What both sides of a stage's pictures must be divisible by, for its generator."""
        return 1

    def without_recomputing(self) -> Self:
        """The recipe with nothing computed twice to save memory, where it has that setting."""
        recipe: Any = self
        has = any(field.name == "rematerialise" for field in fields(self))
        return replace(recipe, rematerialise=False) if has else recipe

    # --- training ------------------------------------------------------------------------------

    def networks(self, name: str) -> dict[str, Network]:
        """The networks of a stage, by their names in the state: what initialisation, checkpoints,
        export and profiles know of them."""
        raise NotImplementedError

    def trained(self, name: str) -> tuple[str, ...]:
        """Names of the networks that a stage updates."""
        networks = self.networks(name)
        return tuple(network for network in networks if networks[network].optimizer is not None)

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        """The modules of a stage's networks as a trained run uses them: see `tested` where that
        differs from training."""
        return {network: each.module for network, each in self.networks(name).items()}

    def init(self, key: Array, name: str, previous: State | None = None) -> State:
        """The state at the start of a stage. Pure; works under jax.eval_shape.

        previous: the last state of the stage before: see carried_over. Optimisers start fresh.
        """
        carried = None if previous is None else partial(self.carried_over, name, previous)
        return beginning.begun(self.networks(name), key, carried)

    def carried_over(self, name: str, previous: State, params: Params) -> Params:
        """The parameters in which a stage begins after another one.

        params: fresh, by network name. Here a network of the same name and shapes continues from
        the other stage's.
        """
        return beginning.kept(params, previous)

    def train_step(
        self, state: Any, batch: Mapping[str, Array], name: str, frozen: Params, kind: Kind = ()
    ) -> tuple[State, dict[str, Array]]:
        """One update of a stage's networks: the new state, and losses by name. Pure.

        state: as `init` gives it, a State or a recipe's own kind of one.
        kind: what this step does besides the usual: see rhythm.
        """
        raise NotImplementedError

    def metrics(self, name: str) -> dict[str, Metric]:
        """What the numbers mean that a stage's train step gives, by name. Others are recorded, but
        neither drawn nor guarded."""
        return {}

    def work(self, name: str) -> list[Work]:
        """What a step of a stage does with which networks, for estimates of arithmetic and memory
        before anything is traced; empty: no estimate."""
        return []

    def rhythm(self, name: str) -> dict[str, int]:
        """What some steps of a stage do besides the usual: {name: n}, at every nth step."""
        return {}

    def kind_of(self, name: str, step: int) -> Kind:
        """The kind of a stage's step, counted from 1."""
        return tuple(extra for extra, every in self.rhythm(name).items() if step % every == 0)

    def kinds(self, name: str) -> dict[Kind, float]:
        """All kinds of steps of a stage, and the share of its steps that are of each; the usual
        first, where there is one. Each is compiled once."""
        steps = min(self.stages()[name].steps, math.lcm(*self.rhythm(name).values()))
        every = Counter(self.kind_of(name, step) for step in range(1, steps + 1))
        return {kind: every[kind] / steps for kind in sorted(every, key=len)}

    def usual_kind(self, name: str) -> Kind:
        """The kind that a stage has most steps of."""
        kinds = self.kinds(name)
        return max(kinds, key=lambda kind: kinds[kind])

    def learning_rate(self, name: str, step: Array | int) -> Float32[Array, ""]:
        """The learning rate of a stage's step, counted from 0: see schedule."""
        return schedule.learning_rate(getattr(self, f"{name}_stage"), step)

    def learning_rate_at(self, name: str, step: int) -> float:
        """The same as a plain number."""
        return schedule.learning_rate_at(getattr(self, f"{name}_stage"), step)

    # --- synthesis -----------------------------------------------------------------------------

    def seen(self, moments: Moments) -> Any:
        """What the generator sees of them: a pytree of arrays with the same leading axes."""
        raise NotImplementedError

    def check_seen(self, moments: Moments) -> None:
        """Raises UserError where moments do not have what `seen` needs; by their names alone."""

    def film(self, moments: Moments) -> Any:
        """What a sample film of moments shows: see `seen`."""
        return self.seen(moments)

    def start(self, params: Params, reference: Array | None, name: str) -> Any:
        """What is carried into the first frame of a clip: any pytree of arrays; () where nothing
        is carried from frame to frame. Pure.

        params: as synthesis_params gives them; reference: pictures of the target, uint8
        [n, H, W, 3], or None.
        """
        return ()

    def reference(self, moments: Moments) -> UInt8[np.ndarray, "n h w 3"] | None:
        """The photo from which a clip is made again in samples and evaluation, from the moments of
        the clip itself; None for a recipe that begins with none."""
        return None

    @cached_property
    def recurrent(self) -> bool:
        """Whether anything is carried from frame to frame, as `start` says."""
        if type(self).start is Recipe.start or not self.stages():
            return False
        name = list(self.stages())[-1]

        def begun(key: Array) -> Any:
            return self.start(self.synthesis_params(self.init(key, name)), None, name)

        return bool(jax.tree.leaves(jax.eval_shape(begun, jax.random.key(0))))

    def frame(self, params: Params, seen: Any, carry: Any, name: str) -> tuple[Array, Any]:
        """One frame, float32 [H, W, 3] (or 4: see `background`), whose values beyond [-1, 1] the
        caller clips, and what it carries to the next. Pure. A recipe has this or `synthesize`,
        whichever suits it.

        seen: what `seen` gives, of one moment (without the leading axis).
        """
        pictures, carry = self.synthesize(
            params, jax.tree.map(lambda x: x[None], seen), carry, name
        )
        return pictures[0], carry

    def synthesize(
        self, params: Params, seen: Any, carry: Any, name: str, count: Array | None = None
    ) -> tuple[Array, Any]:
        """n frames, each after the one before it: float32 [n, H, W, 3] in [-1, 1], and what the
        last one carries on. Pure.

        seen: as `seen` gives it, of n moments; carry: as `start` gives it, or what was left before.
        count: how many of the moments count: those after them are padding, and carry nothing on.
        None: all. A recipe that carries nothing may make its frames all at once.
        """

        def step(carry: Any, moment: tuple[Array, Any]) -> tuple[Any, Array]:
            number, seen = moment
            picture, after = self.frame(params, seen, carry, name)
            if count is not None:
                after = jax.tree.map(lambda a, b: jnp.where(number < count, a, b), after, carry)
            return after, picture

        numbers = jnp.arange(len(jax.tree.leaves(seen)[0]))
        carry, frames = jax.lax.scan(step, carry, (numbers, seen))
        return jnp.clip(frames, -1.0, 1.0), carry

    def each_alone(self, params: Params, seen: Any, carry: Any, name: str) -> Array:
        """As synthesize, but every frame is the first of a clip: carry is what all begin with."""
        if not jax.tree.leaves(carry):
            return self.synthesize(params, seen, carry, name)[0]

        def step(_: tuple[()], seen: Any) -> tuple[tuple[()], Array]:
            return (), self.frame(params, seen, carry, name)[0]

        return jnp.clip(jax.lax.scan(step, (), seen)[1], -1.0, 1.0)

    def layers(self, params: Params, seen: Any, name: str) -> Array:
        """Pictures to be laid over what they were made of, each by itself: float32 [n, H, W, 4],
        colours in [-1, 1] and how far each pixel covers what is below, 0 to 1. Here whole ones.

        seen: as `seen` gives it, of n moments.
        """
        carry = self.start(params, None, name)
        pictures = self.each_alone(params, seen, carry, name)
        return jnp.concatenate([pictures[..., :3], jnp.ones_like(pictures[..., :1])], axis=-1)

    def beyond(
        self, keypoints: Float32[np.ndarray, "n 137 3"], name: str
    ) -> Bool[np.ndarray, " n"]:
        """Of which poses, in pixels of the stage, it leaves out what the frame would show."""
        return np.zeros(len(keypoints), bool)

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses, by network name: here of all networks, averaged where
        averaging is on."""
        return {**state.params, **state.averaged}

    def logits(self, params: Params, pictures: Array) -> Array:
        """What a recipe that detects says of pictures in [-1, 1], float32 [n, H, W, 3]: the logits
        of the probability that they are synthetic, float32 [n]."""
        raise NotImplementedError

    def tested(self, **changes: Any) -> "Recipe":
        """The recipe with another way to run a trained generator: see pix2pix.Test.

        Raises UserError where the recipe knows only one.
        """
        raise UserError(
            f"The recipe {self.name} has neither batch norm nor dropout in its generator, so there "
            f"is no {' or '.join(changes)} to choose; leave it out."
        )

    def of_person(self, params: Params, who: Sequence[float]) -> tuple["Recipe", Params]:
        """The recipe and the parameters of one of several people (`identities` above 1), or of a
        mixture of them, who is told of nobody any more.

        who: the weight of each.
        """
        raise NotImplementedError

    def parts(self, params: Params) -> tuple[str, ...]:
        """Names of the parts of a trained generator that can be left out of it: see `without`."""
        return ()

    def without(self, part: str, params: Params) -> Params:
        """The parameters with which `synthesize` leaves out a part; all where there is none of
        that name."""
        return params

    # --- data ----------------------------------------------------------------------------------

    def reading(self, name: str) -> Reading:
        """What an example of a stage is."""
        raise NotImplementedError

    @property
    def takes_dataset(self) -> bool:
        """Whether any stage does."""
        return any(self.reading(name).dataset for name in self.stages())

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        """The settings, as {"main_stage.height": 64}, with which it trains on a dataset of pictures
        of this size; {} where it does as it is.

        Raises UserError where no such recipe does.
        """
        raise UserError(
            f"The recipe {self.name} cannot be fitted to a size; give a config that is."
        )

    def check_dataset(self, dataset: Any) -> None:
        """Raises UserError where a dataset (records.PoseFrames) lacks what the recipe is shown."""

    def fitted(self, dataset: Any, data: Data, anew: bool = False) -> Self:
        """The recipe with what it finds out about a dataset (records.PoseFrames) when training
        begins, and keeps with the run; itself where that is known or nothing need be.

        data: how the dataset is read; anew: also what is known is found again.
        """
        return self

    def found_out(self) -> str:
        """What `fitted` found, in a sentence for people; "" where there is nothing to say."""
        return ""

    def pretrained(self) -> Mapping[str, Pretrained]:
        """The networks that losses need and nobody trains, by their names in `frozen`."""
        return {}

    # --- what is shown to people ---------------------------------------------------------------

    def rows(
        self, moments: Moments, pictures: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, list[np.ndarray]]:
        """What samples show of n moments, by label: n pictures uint8 [height, width, 3] each.

        pictures: what the generator made of them, of the same form.
        """
        made: dict[str, list[np.ndarray]] = {}
        posed = READY in moments or "keypoints" in moments
        if "poses" in self.shows and posed and self.pose_style is not None:
            style = self.pose_style
            made["pose"] = [shown(pose, style, height, width) for pose in poses_of(moments)]
        if "frames" in moments and (self.paired or "frames" in self.shows):
            made["real" if self.paired else "shown"] = list(moments["frames"])
        return made | {"generated": list(pictures)}

    def caveats(self) -> list[str]:
        """Sentences that must be in an evaluation of it."""
        return []
