"""Which parts of StyleGAN2 a fine-tuning leaves as they are."""

from dataclasses import dataclass

from flax import traverse_util

from motion_jax.errors import UserError, setting
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.stylegan2_discriminator import Discriminator, frozen_discriminator
from motion_jax.recipes.state import Params

# Names of parts of a network: tuples of keys that a parameter's path begins with.
Parts = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Freeze:
    """What stays as it is while a trained network is taught other pictures; all off by default.

    The counts are those of the published programs; each counts what its own one counts.
    """

    mapping: bool = False
    """FreezeFC (UI2I): the mapping."""
    generator_trained: int = 0
    """FreezeG (Cartoon-StyleGAN): of the generator only so many levels at the picture's side are
    trained; 0: all of it."""
    discriminator_frozen: int = 0
    """FreezeD as StyleGAN2-ADA counts: so many layers at the picture's side."""
    discriminator_trained: int = 0
    """FreezeD as Cartoon-StyleGAN counts: only so many levels at the 4x4 side are trained, and the
    last layers; 0: all of it."""
    source_styles: int = 0
    """FreezeSG (Cartoon-StyleGAN), with generator_trained: so many styles, from the 4x4 side, are
    those that `source`'s mapping gives of the same latent; 0: off."""

    def check(self, levels: int) -> None:
        """Raises UserError for counts below 0, and for two ways at once."""
        counts = ("generator_trained", "discriminator_frozen", "discriminator_trained")
        for name in (*counts, "source_styles"):
            if getattr(self, name) < 0:
                raise UserError(f"{setting(f'recipe.freeze.{name}')} must be 0 or more.")
        if self.discriminator_frozen and self.discriminator_trained:
            raise UserError(
                f"{setting('recipe.freeze.discriminator_frozen')} and discriminator_trained are "
                "two ways to say the same; give one."
            )


def frozen_paths(
    freeze: Freeze, generator: nets.Generator, judge: Discriminator
) -> dict[str, Parts]:
    """Of each network the parts that stay."""
    made: set[tuple[str, ...]] = set()
    if freeze.mapping:
        made.add(("mapping",))
    sizes = nets.levels(generator.size)
    if freeze.generator_trained:
        trained = sizes[max(len(sizes) - freeze.generator_trained, 1) :]
        made |= {("mapping",), ("synthesis", "constant")}
        for size in sizes:
            if size not in trained:
                names = ("conv_0", "conv_1", "rgb", "skip_weight")
                made |= {("synthesis", f"level_{size}_{name}") for name in names}
    judged: set[tuple[str, ...]] = set()
    if freeze.discriminator_frozen:
        judged = {(name,) for name in frozen_discriminator(judge, freeze.discriminator_frozen)}
    if freeze.discriminator_trained:
        trained = sizes[1 : freeze.discriminator_trained + 1]
        for size in sizes[1:]:
            if size not in trained:
                judged |= {(f"level_{size}_{n}",) for n in ("conv_0", "conv_1", "skip")}
        if freeze.discriminator_trained < len(sizes):
            # What sees the picture first is one level more.
            judged.add((f"level_{sizes[-1]}_rgb",))
    return {"generator": frozenset(made), "discriminator": frozenset(judged)}


def restored(before: Params, after: Params, parts: Parts) -> Params:
    """`after` with the frozen parts of `before`."""
    if not parts:
        return after

    def frozen(path: tuple[str, ...]) -> bool:
        return any(path[: len(part)] == part for part in parts)

    old, new = (traverse_util.flatten_dict(tree["params"]) for tree in (before, after))
    kept = {path: old[path] if frozen(path) else value for path, value in new.items()}
    return {**after, "params": traverse_util.unflatten_dict(kept)}
