"""What recipes share that train all their networks together, at one size: in main_stage."""

from dataclasses import replace
from typing import Self

from flax import linen as nn

from motion_jax.errors import UserError
from motion_jax.recipes import schedule
from motion_jax.recipes.base import Recipe


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


class OneStage(OnlyStage):
    """Networks and settings of image-to-image recipes; their fields are generator, discriminator,
    main_stage, test."""

    def validate(self) -> None:
        super().validate()
        schedule.check_counts(
            self,
            {"generator": {"ngf": 1, "n_blocks": 0}, "discriminator": {"ndf": 1, "n_layers": 1}},
        )
        self.generator.check("main", self.main_stage)
        self.discriminator.check("main", self.main_stage)

    def tested_modules(self, name: str) -> dict[str, nn.Module]:
        running = self.test.statistics == "running"
        return {
            network: each.module.clone(running=running) if each.role == "generator" else each.module
            for network, each in self.networks(name).items()
        }

    def tested(self, **changes: object) -> Self:
        """The recipe with other fields of `test`."""
        return replace(self, test=replace(self.test, **changes))
