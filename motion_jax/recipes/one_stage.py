"""What recipes share that train all their networks together at one size, in main_stage."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from flax import linen as nn

from motion_jax.errors import UserError, setting
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import schedule
from motion_jax.recipes.base import GENERATOR_SIZES, Recipe
from motion_jax.recipes.image_networks import Discriminator, Generator, Losses, Test


class OnlyStage(Recipe):
    """A recipe with a single stage, in its field main_stage."""

    main_stage: schedule.Stage

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.main_stage.height, self.main_stage.width

    def validate(self) -> None:
        if not self.stages():
            raise UserError(
                "The config trains nothing: every stage has steps = 0; set "
                f"{setting('recipe.main_stage.steps')}."
            )
        schedule.check_stage("main", self.main_stage)

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        factor = height // self.main_stage.height
        if factor and tuple(factor * side for side in self.size) == (height, width):
            return {}
        return {"main_stage.height": height, "main_stage.width": width}


@dataclass(frozen=True)
class OneStage(OnlyStage):
    """Networks and settings of image-to-image recipes."""

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    main_stage: schedule.Stage = field(default_factory=schedule.Stage)
    test: Test = field(default_factory=Test)
    pose_style: PoseStyle = field(default_factory=PoseStyle)
    """How pose pictures are drawn, where the dataset has no ready ones."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics and losses stay float32."""
    averaging: float = 0.0
    """Decay of the exponential average of the generators' parameters, e.g. 0.999; 0 is off."""
    rematerialise: bool = False
    """Recompute the generators' activations in the backward pass: less memory, more time."""

    @property
    def size_fields(self) -> dict[str, str]:
        return GENERATOR_SIZES

    def size_multiple(self, name: str) -> int:
        return self.generator.size_multiple

    def validate(self) -> None:
        super().validate()
        schedule.check_counts(
            self,
            {"generator": {"ngf": 1, "n_blocks": 0}, "discriminator": {"ndf": 1, "n_layers": 1}},
        )
        self.generator.check("main", self.main_stage)
        self.discriminator.check("main", self.main_stage)

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        settings = super().for_size(height, width)
        if not settings:
            return {}
        fields = self.generator.for_size(height, width)
        stage = replace(self.main_stage, height=height, width=width)
        generator = replace(self.generator, **fields)
        replace(self, main_stage=stage, generator=generator).validate()
        return settings | {f"generator.{name}": value for name, value in fields.items()}

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        running = self.test.statistics == "running"
        return {
            network: each.module.clone(running=running) if each.role == "generator" else each.module
            for network, each in self.networks(name).items()
        }

    def tested(self, **changes: Any) -> Self:
        """The recipe with other fields of `test`."""
        return replace(self, test=replace(self.test, **changes))
