"""Everybody Dance Now's two-frame training step in PyTorch, to be measured against.

Written from its description, not copied; like the published program in what is computed and in
which order: all losses from one forward pass (three passes through the discriminator, four pictures
through VGG), then the generator's Adam, then the discriminator's Adam with the gradients of the
losses that are already there. Like the published program it computes gradients that nothing uses
(of the discriminator by the generator's loss; of frozen networks in the face stage).

Two deliberate differences: each parameter is registered once with Adam, and the loss on the face
discriminator is a mean over the batch. Imports only torch, numpy and the standard library.
"""

import contextlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_networks import (
    GlobalGenerator,
    VGG19Slices,
    initialise,
    network_from_description,
)

LAMBDA = 10.0  # of feature matching and of the perceptual loss
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
MODES = ("eager", "amp", "compile")
NETWORKS = ("generator", "discriminator", "face_generator", "face_discriminator")


class TwoFrameStep:
    """The networks of one stage and their step.

    Args:
      description: {"generator": {"class": …}, "discriminator": …} and for the face stage
        "face_generator", "face_discriminator" and "face_box" (top, bottom, left, right), as in the
        parity fixtures.
      device: "cpu" or "cuda".
      mode: "eager" (float32), "amp" (bfloat16 autocast), "compile" (the same with torch.compile and
        channels-last).
    """

    def __init__(self, description: Mapping, device: str = "cpu", mode: str = "eager"):
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {MODES}")
        self.device, self.mode = torch.device(device), mode
        self.networks: dict[str, nn.Module] = {}
        for name in NETWORKS:
            if name in description:
                self.networks[name] = initialise(network_from_description(description[name]))
        self.networks["vgg"] = VGG19Slices()
        layout = {"memory_format": torch.channels_last} if mode == "compile" else {}
        for name, network in self.networks.items():
            self.networks[name] = network.to(self.device, **layout)
        self.run: dict[str, Callable] = dict(self.networks)
        if mode == "compile":
            # Network by network: the two backward passes share one graph of losses, which a single
            # compiled function could not be run backward through twice.
            self.run = {name: torch.compile(network) for name, network in self.networks.items()}
        self.box = description.get("face_box")
        self.face = "face_generator" in self.networks
        trained = ("face_generator", "face_discriminator") if self.face else NETWORKS[:2]
        self.perceptual_factor = 1.0
        if isinstance(self.networks["generator"], GlobalGenerator):
            self.perceptual_factor = 0.5
        self.optimizer_G, self.optimizer_D = (
            torch.optim.Adam(self.networks[name].parameters(), lr=2e-4, betas=(0.5, 0.999))
            for name in trained
        )

    def place(self, pictures: Tensor) -> Tensor:
        """NCHW pictures where and how the networks want them."""
        layout = {"memory_format": torch.channels_last} if self.mode == "compile" else {}
        return pictures.to(self.device, **layout)

    def precision(self) -> contextlib.AbstractContextManager:
        if self.mode == "eager":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def generate(self, pose: Tensor, previous: Tensor) -> Tensor:
        """One frame [N, 3, H, W] from its pose and the frame before."""
        image = self.run["generator"](torch.cat([pose, previous], 1))
        if not self.face:
            return image
        face = self.crop(image)
        face = face + self.run["face_generator"](torch.cat([self.crop(pose), face], 1))
        image = image.clone()
        top, bottom, left, right = self.box
        image[:, :, top:bottom, left:right] = face
        return image

    def crop(self, pictures: Tensor) -> Tensor:
        top, bottom, left, right = self.box
        return pictures[:, :, top:bottom, left:right]

    def losses(
        self, label: Tensor, next_label: Tensor, image: Tensor, next_image: Tensor
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Every loss by the name under which the published program logs it, and the two frames."""
        labels, real = (label, next_label), (image, next_image)
        first = self.generate(label, torch.zeros_like(image))
        fake = (first, self.generate(next_label, first))
        judge = self.run["discriminator"]
        poses = torch.cat(labels, 1)
        fake_stack = torch.cat(fake, 1)
        on_detached = judge(torch.cat([poses, fake_stack.detach()], 1))
        on_real = judge(torch.cat([poses, torch.cat(real, 1)], 1))
        on_fake = judge(torch.cat([poses, fake_stack], 1))
        found = {
            "D_fake": least_squares(on_detached, 0.0),
            "D_real": least_squares(on_real, 1.0),
            "G_GAN": least_squares(on_fake, 1.0),
            "G_GAN_Feat": LAMBDA * feature_matching(on_fake, on_real),
        }
        perceptual = self.perceptual(fake[0], real[0]) + self.perceptual(fake[1], real[1])
        perceptual = LAMBDA * self.perceptual_factor * perceptual
        if self.face:
            crops = [tuple(map(self.crop, pair)) for pair in zip(fake, real, strict=True)]
            perceptual = perceptual + 0.5 * LAMBDA * sum(self.perceptual(*pair) for pair in crops)
            found |= self.face_losses(labels, crops)
        found["G_VGG"] = perceptual
        return found, fake

    def face_losses(
        self, labels: tuple[Tensor, Tensor], crops: list[tuple[Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        """The face discriminator's: means over the two frames."""
        judge, names = self.run["face_discriminator"], ("D_fakeface", "D_realface", "G_GANface")
        totals = dict.fromkeys(names, 0.0)
        for label, (fake, real) in zip(labels, crops, strict=True):
            pose = self.crop(label)
            cases = ((fake.detach(), 0.0), (real, 1.0), (fake, 1.0))
            for name, (face, target) in zip(names, cases, strict=True):
                logits = judge(torch.cat([pose, face], 1))
                totals[name] = totals[name] + 0.5 * least_squares([[logits]], target)
        return totals

    def perceptual(self, fake: Tensor, real: Tensor) -> Tensor:
        vgg = self.run["vgg"]
        total = 0.0
        for weight, a, b in zip(PERCEPTUAL_WEIGHTS, vgg(fake), vgg(real), strict=True):
            total = total + weight * functional.l1_loss(a, b.detach())
        return total

    def __call__(
        self, label: Tensor, next_label: Tensor, image: Tensor, next_image: Tensor
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """One update of both networks; all pictures [N, 3, H, W]. The losses and frames are those
        of before it.
        """
        with self.precision():
            losses, fake = self.losses(label, next_label, image, next_image)
            loss_G = losses["G_GAN"] + losses["G_GAN_Feat"] + losses["G_VGG"]
            loss_D = 0.5 * (losses["D_fake"] + losses["D_real"])
            if self.face:
                loss_G = loss_G + losses["G_GANface"]
                loss_D = loss_D + 0.5 * (losses["D_fakeface"] + losses["D_realface"])
        self.optimizer_G.zero_grad()
        loss_G.backward()
        self.optimizer_G.step()
        self.optimizer_D.zero_grad()
        loss_D.backward()
        self.optimizer_D.step()
        return losses, fake


def least_squares(outputs: list[list[Tensor]], target: float) -> Tensor:
    """Mean squared distance of the logits from the target, summed over scales."""
    total = 0.0
    for scale in outputs:
        logits = scale[-1]
        total = total + functional.mse_loss(logits, torch.full_like(logits, target))
    return total


def feature_matching(fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """L1 distance of all features but the logits; a sum over layers, a mean over scales."""
    weight = 4.0 / (len(fake[0]) - 1) / len(fake)
    total = 0.0
    for fakes, reals in zip(fake, real, strict=True):
        for a, b in zip(fakes[:-1], reals[:-1], strict=True):
            total = total + weight * functional.l1_loss(a, b.detach())
    return total
