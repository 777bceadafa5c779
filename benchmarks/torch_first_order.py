"""The First Order Motion Model in PyTorch, to be measured against: its networks, the animation of a
photo and its training step.

Written from its description (layers, order, names), not copied. Attribute names give the published
code's state_dict keys. Imports nothing but torch, numpy and the standard library.
Pictures are NCHW in [0, 1]; keypoints are (x, y) in [-1, 1] with affine maps: (value [n, K, 2],
jacobian [n, K, 2, 2] or None).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_networks import VGG19Slices

Points = tuple[Tensor, Tensor | None]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def grid(height: int, width: int, like: Tensor) -> Tensor:
    """Coordinates of pixels, [h, w, 2]."""
    kind = {"dtype": like.dtype, "device": like.device}
    x = 2 * (torch.arange(width, **kind) / (width - 1)) - 1
    y = 2 * (torch.arange(height, **kind) / (height - 1)) - 1
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)


def bumps(value: Tensor, height: int, width: int, variance: float) -> Tensor:
    """[n, K, 2] -> [n, K, h, w]."""
    away = grid(height, width, value) - value[:, :, None, None]
    return torch.exp(-0.5 * away.square().sum(-1) / variance)


class Normed(nn.Module):
    """Convolution, batch norm, ReLU; `double` before it, `halve` after it."""

    def __init__(self, channels: int, features: int, size: int = 3, change: str = ""):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, size, padding=size // 2)
        self.norm = nn.BatchNorm2d(features)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        if self.change == "double":
            x = functional.interpolate(x, scale_factor=2)
        x = functional.relu(self.norm(self.conv(x)))
        return functional.avg_pool2d(x, 2) if self.change == "halve" else x


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        for i in (1, 2):
            setattr(self, f"conv{i}", nn.Conv2d(channels, channels, 3, padding=1))
            setattr(self, f"norm{i}", nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.norm1(x)))
        return x + self.conv2(functional.relu(self.norm2(y)))


class Blocks(nn.Module):
    """One half of an hourglass."""

    def __init__(self, name: str, layers: list[nn.Module]):
        super().__init__()
        setattr(self, name, nn.ModuleList(layers))


class Hourglass(nn.Module):
    def __init__(self, expansion: int, channels: int, halvings: int, most: int):
        super().__init__()
        widths = [min(most, expansion * 2**i) for i in range(halvings + 1)]
        down, up = [], []
        for i in range(halvings):
            down.append(Normed(widths[i] if i else channels, widths[i + 1], change="halve"))
        for i in reversed(range(halvings)):
            beside = 1 if i == halvings - 1 else 2
            up.append(Normed(beside * widths[i + 1], widths[i], change="double"))
        self.encoder, self.decoder = Blocks("down_blocks", down), Blocks("up_blocks", up)
        self.features = expansion + channels

    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for layer in self.encoder.down_blocks:
            kept.append(layer(kept[-1]))
        x = kept.pop()
        for layer in self.decoder.up_blocks:
            x = torch.cat([layer(x), kept.pop()], 1)
        return x


class Shrink(nn.Module):
    """A blur and every (1 / scale)th pixel."""

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.step = int(1 / scale)
        deviation = (1 / scale - 1) / 2
        taps = 2 * round(4 * deviation) + 1
        near = torch.arange(taps) - (taps - 1) / 2
        row = torch.exp(-near.square() / (2 * max(deviation, 1e-6) ** 2))
        kernel = torch.outer(row, row) / row.sum().square()
        self.register_buffer("weight", kernel.expand(channels, 1, taps, taps).clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.step == 1:
            return x
        blurred = functional.conv2d(
            x, self.weight, padding=self.weight.shape[-1] // 2, groups=x.shape[1]
        )
        return blurred[:, :, :: self.step, :: self.step]


class KPDetector(nn.Module):
    def __init__(
        self,
        block_expansion: int,
        num_kp: int,
        num_channels: int,
        max_features: int,
        num_blocks: int,
        temperature: float,
        estimate_jacobian: bool = False,
        scale_factor: float = 1,
        single_jacobian_map: bool = False,
        pad: int = 0,
    ):
        super().__init__()
        self.predictor = Hourglass(block_expansion, num_channels, num_blocks, max_features)
        self.kp = nn.Conv2d(self.predictor.features, num_kp, 7, padding=pad)
        self.jacobian = None
        if estimate_jacobian:
            maps = 1 if single_jacobian_map else num_kp
            self.jacobian = nn.Conv2d(self.predictor.features, 4 * maps, 7, padding=pad)
            nn.init.zeros_(self.jacobian.weight)
            self.jacobian.bias.data.copy_(torch.tensor([1.0, 0, 0, 1] * maps))
        self.temperature, self.down = temperature, Shrink(num_channels, scale_factor)

    def forward(self, picture: Tensor) -> Points:
        features = self.predictor(self.down(picture))
        logits = self.kp(features)
        n, count, h, w = logits.shape
        heat = functional.softmax(logits.flatten(2) / self.temperature, 2).view(n, count, h, w)
        value = (heat[..., None] * grid(h, w, heat)).sum((2, 3))
        if self.jacobian is None:
            return value, None
        maps = self.jacobian(features).view(n, -1, 4, h, w)
        return value, (heat[:, :, None] * maps).sum((3, 4)).view(n, count, 2, 2)


class DenseMotionNetwork(nn.Module):
    def __init__(
        self,
        block_expansion: int,
        num_blocks: int,
        max_features: int,
        num_kp: int,
        num_channels: int,
        estimate_occlusion_map: bool = False,
        scale_factor: float = 1,
        kp_variance: float = 0.01,
        align_corners: bool = False,
    ):
        super().__init__()
        channels = (num_kp + 1) * (num_channels + 1)
        self.hourglass = Hourglass(block_expansion, channels, num_blocks, max_features)
        self.mask = nn.Conv2d(self.hourglass.features, num_kp + 1, 7, padding=3)
        self.occlusion = None
        if estimate_occlusion_map:
            self.occlusion = nn.Conv2d(self.hourglass.features, 1, 7, padding=3)
        self.down, self.variance = Shrink(num_channels, scale_factor), kp_variance
        self.align = align_corners

    def forward(self, picture: Tensor, source: Points, driving: Points) -> dict[str, Tensor]:
        small = self.down(picture)
        n, channels, h, w = small.shape
        heat = bumps(driving[0], h, w, self.variance) - bumps(source[0], h, w, self.variance)
        heat = functional.pad(heat, (0, 0, 0, 0, 1, 0))
        motions = grid(h, w, small) - driving[0][:, :, None, None]
        if driving[1] is not None:
            change = source[1] @ torch.inverse(driving[1])
            motions = (change[:, :, None, None] @ motions[..., None])[..., 0]
        motions = motions + source[0][:, :, None, None]
        still = grid(h, w, small).expand(n, 1, h, w, 2)
        motions = torch.cat([still, motions], 1)
        count = motions.shape[1]
        many = small[:, None].expand(n, count, channels, h, w).reshape(-1, channels, h, w)
        deformed = functional.grid_sample(
            many, motions.reshape(-1, h, w, 2), align_corners=self.align
        ).view(n, count, channels, h, w)
        shown = torch.cat([heat[:, :, None], deformed], 2).view(n, -1, h, w)
        features = self.hourglass(shown)
        mask = functional.softmax(self.mask(features), 1)
        found = {
            "mask": mask,
            "sparse_deformed": deformed,
            "deformation": (mask[..., None] * motions).sum(1),
        }
        if self.occlusion is not None:
            found["occlusion_map"] = torch.sigmoid(self.occlusion(features))
        return found


class OcclusionAwareGenerator(nn.Module):
    def __init__(
        self,
        num_channels: int,
        num_kp: int,
        block_expansion: int,
        max_features: int,
        num_down_blocks: int,
        num_bottleneck_blocks: int,
        estimate_occlusion_map: bool = False,
        dense_motion_params: Mapping[str, Any] | None = None,
        estimate_jacobian: bool = False,
        align_corners: bool = False,
    ):
        super().__init__()
        self.dense_motion_network = None
        if dense_motion_params is not None:
            self.dense_motion_network = DenseMotionNetwork(
                num_kp=num_kp,
                num_channels=num_channels,
                estimate_occlusion_map=estimate_occlusion_map,
                align_corners=align_corners,
                **dense_motion_params,
            )
        widths = [min(max_features, block_expansion * 2**i) for i in range(num_down_blocks + 1)]
        levels = range(num_down_blocks)
        self.first = Normed(num_channels, widths[0], 7)
        self.down_blocks = nn.ModuleList(
            Normed(widths[i], widths[i + 1], change="halve") for i in levels
        )
        self.bottleneck = nn.Sequential()
        for i in range(num_bottleneck_blocks):
            self.bottleneck.add_module(f"r{i}", Residual(widths[-1]))
        self.up_blocks = nn.ModuleList(
            Normed(widths[i + 1], widths[i], change="double") for i in reversed(levels)
        )
        self.final = nn.Conv2d(widths[0], num_channels, 7, padding=3)
        self.align = align_corners

    def warped(self, x: Tensor, deformation: Tensor) -> Tensor:
        if deformation.shape[1:3] != x.shape[2:]:
            small = deformation.permute(0, 3, 1, 2)
            small = functional.interpolate(small, x.shape[2:], mode="bilinear")
            deformation = small.permute(0, 2, 3, 1)
        return functional.grid_sample(x, deformation, align_corners=self.align)

    def forward(self, picture: Tensor, source: Points, driving: Points) -> dict[str, Tensor]:
        x = self.first(picture)
        for layer in self.down_blocks:
            x = layer(x)
        found = {}
        if self.dense_motion_network is not None:
            found = self.dense_motion_network(picture, source, driving)
            x = self.warped(x, found["deformation"])
            if "occlusion_map" in found:
                hidden = found["occlusion_map"]
                if hidden.shape[2:] != x.shape[2:]:
                    hidden = functional.interpolate(hidden, x.shape[2:], mode="bilinear")
                x = x * hidden
            # As the published program, which shows it, in every pass.
            found["deformed"] = self.warped(picture, found["deformation"])
        x = self.bottleneck(x)
        for layer in self.up_blocks:
            x = layer(x)
        found["prediction"] = torch.sigmoid(self.final(x))
        return found


# --- animating and training -----------------------------------------------------------------------


def moved(source: Points, driving: Points, first: Points) -> Points:
    """The photo's keypoints, moved as the film's have since its first frame."""
    value = source[0] + driving[0] - first[0]
    if driving[1] is None:
        return value, None
    return value, driving[1] @ torch.inverse(first[1]) @ source[1]


class Warp:
    """Random deformations: affine maps and thin plates whose bend goes to x and y alike."""

    def __init__(self, affine: Tensor, control: Tensor | None):
        self.affine, self.control = affine, control

    def __call__(self, z: Tensor) -> Tensor:
        """[n, p, 2]."""
        linear = self.affine[:, None, :, :2] @ z[..., None]
        found = linear[..., 0] + self.affine[:, None, :, 2]
        if self.control is None:
            return found
        points = math.isqrt(self.control.shape[-1])
        places = grid(points, points, z).view(1, 1, -1, 2)
        far = (z[:, :, None] - places).abs().sum(-1)
        bend = far.square() * torch.log(far + 1e-6) * self.control[:, None]
        return found + bend.sum(-1, keepdim=True)

    def jacobian(self, z: Tensor) -> Tensor:
        """[n, p, 2, 2], differentiable."""
        found = self(z)
        rows = [
            torch.autograd.grad(found[..., axis].sum(), z, create_graph=True)[0] for axis in (0, 1)
        ]
        return torch.stack(rows, -2)

    def pictures(self, x: Tensor, align: bool) -> Tensor:
        n, _, h, w = x.shape
        where = self(grid(h, w, x).view(1, -1, 2).expand(n, -1, 2)).view(n, h, w, 2)
        return functional.grid_sample(x, where, padding_mode="reflection", align_corners=align)


class TrainingStep:
    """The step without a discriminator (vox-256): one forward pass of the generator, three of the
    detector, the perceptual loss on a pyramid, Adam for each network.

    detector, generator: the classes' arguments; weights: of the losses, by the YAML's names.
    """

    def __init__(
        self,
        detector: Mapping[str, Any],
        generator: Mapping[str, Any],
        weights: Mapping[str, Any],
        scales: tuple[float, ...],
        align_corners: bool = False,
        rate: float = 2e-4,
    ):
        self.detector = KPDetector(**detector)
        self.generator = OcclusionAwareGenerator(align_corners=align_corners, **generator)
        self.weights, self.align = weights, align_corners
        self.pyramid = {f"{scale:g}": Shrink(3, scale) for scale in scales}
        self.vgg = VGG19Slices()
        self.mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self.deviation = torch.tensor(DEVIATION).view(1, 3, 1, 1)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
            for network in (self.generator, self.detector)
        ]

    def losses(
        self, source: Tensor, driving: Tensor, warp: Warp
    ) -> tuple[dict[str, Tensor], Tensor]:
        """By the names of the published log; and the pictures."""
        of_source, of_driving = self.detector(source), self.detector(driving)
        generated = self.generator(source, of_source, of_driving)["prediction"]
        found = {"perceptual": self.perceptual(generated, driving)}
        deformed = self.detector(warp.pictures(driving, self.align))
        weight = self.weights["equivariance_value"]
        found["equivariance_value"] = weight * (of_driving[0] - warp(deformed[0])).abs().mean()
        if weight := self.weights["equivariance_jacobian"]:
            there = warp.jacobian(deformed[0]) @ deformed[1]
            away = torch.eye(2) - torch.inverse(of_driving[1]) @ there
            found["equivariance_jacobian"] = weight * away.abs().mean()
        return found, generated

    def perceptual(self, generated: Tensor, real: Tensor) -> Tensor:
        total = torch.zeros(())
        for shrink in self.pyramid.values():
            features = [
                self.vgg((shrink(each) - self.mean) / self.deviation) for each in (generated, real)
            ]
            for weight, a, b in zip(self.weights["perceptual"], *features, strict=True):
                total = total + weight * (a - b.detach()).abs().mean()
        return total

    def __call__(self, source: Tensor, driving: Tensor, warp: Warp) -> dict[str, Tensor]:
        """One update of both networks; the losses are those of before it."""
        found, _ = self.losses(source, driving, warp)
        torch.stack(list(found.values())).sum().backward()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        return found
