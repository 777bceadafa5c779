"""Settings of Everybody Dance Now: its face stage, its losses, a stage."""

from dataclasses import dataclass

from motion_jax.errors import UserError, setting
from motion_jax.recipes import coarse_to_fine_settings, picture_losses


@dataclass(frozen=True)
class Face:
    """FaceGAN: a residual on a square crop around the face, and its own discriminator."""

    size: int = 128
    """Side of the crop in pixels at the face stage's size; the paper's is a quarter of the
    height."""
    ngf: int = 64
    """Channels of the face generator at the crop's full size."""
    n_downsampling: int = 3
    """Halvings in the face generator."""
    n_blocks: int = 5
    """Residual blocks at its lowest resolution."""
    ndf: int = 64
    """Channels of the face discriminator's first layer."""
    n_layers: int = 3
    """Strided layers of the face discriminator."""
    discriminator_keys: str = "facemodel"
    """What the keys of the face discriminator begin with in files for the original program
    (facemodel, or model in some); an import sets it to what it read."""

    def check(self, stage: coarse_to_fine_settings.Stage) -> None:
        """Raises UserError where the crop does not fit the face generator or that stage's
        pictures."""
        multiple = 2**self.n_downsampling
        if self.size % multiple or self.size > min(stage.height, stage.width):
            raise UserError(
                f"{setting('recipe.face.size')} = {self.size} must be divisible by "
                f"{multiple} and fit into {stage.width}x{stage.height}; the paper's is a "
                "quarter of the height, here "
                f"{max(stage.height // 4 // multiple, 1) * multiple}."
            )
        if self.size < 2 * multiple:
            raise UserError(
                f"{setting('recipe.face.size')} = {self.size} leaves a single row at the "
                f"lowest resolution, which reflection padding cannot extend; use at least "
                f"{2 * multiple} or a smaller recipe.face.n_downsampling."
            )


@dataclass(frozen=True)
class Losses(picture_losses.Losses):
    """Weights of the generator's losses; the adversarial one has weight 1."""

    perceptual_global_factor: float = 0.5
    """Factor on the perceptual loss while the generator is a GlobalGenerator: the reference's."""


@dataclass(frozen=True)
class Stage(coarse_to_fine_settings.Stage):
    """One stage of training. steps = 0 leaves the stage out."""

    batch_size: int = 1
    """Windows a step, over all devices."""
    window: int = 2
    """Consecutive frames a window; the generator is unrolled over them from a zero picture."""
