"""What recipes share that train all their networks together, at one size: in main_stage."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from flax import linen as nn

from motion_jax.errors import UserError
from motion_jax.recipes import schedule
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.image_networks import Discriminator, Generator, Test


class OnlyStage(Recipe):
    """The stage of recipes whose field it is, main_stage."""

    main_stage: schedule.Stage

    def stages(self) -> dict[str, schedule.Stage]:
        """The only stage, "main"."""
        return {"main": self.main_stage} if self.main_stage.steps > 0 else {}

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.main_stage.height, self.main_stage.width

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        if not self.stages():
            raise UserError(
                "The config trains nothing: every stage has steps = 0; set recipe.main_stage.steps."
            )
        schedule.check_stage("main", self.main_stage)

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        factor = height // self.main_stage.height
        if factor and tuple(factor * side for side in self.size) == (height, width):
            return {}
        return {"main_stage.height": height, "main_stage.width": width}


class OneStage(OnlyStage):
    """Networks and settings of image-to-image recipes; their fields are generator, discriminator,
    main_stage, test."""

    if TYPE_CHECKING:
        # Fields of the recipes.

        @property
        def generator(self) -> Generator: ...
        @property
        def discriminator(self) -> Discriminator: ...
        @property
        def test(self) -> Test: ...

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
        # Any: the fields are the recipes'.
        replace(cast(Any, self), main_stage=stage, generator=generator).validate()
        return settings | {f"generator.{name}": value for name, value in fields.items()}

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        running = self.test.statistics == "running"
        return {
            network: each.module.clone(running=running) if each.role == "generator" else each.module
            for network, each in self.networks(name).items()
        }

    def tested(self, **changes: Any) -> Self:
        """The recipe with other fields of `test`."""
        # Any: the field is the recipes'.
        return replace(cast(Any, self), test=replace(self.test, **changes))
