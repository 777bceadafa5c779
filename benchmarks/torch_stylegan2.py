"""StyleGAN2 in PyTorch, to be measured against: generator, discriminator and the training step as
rosinality's program has them.

Written from their description (layers, order, names), not copied. Attribute names and indices give
the published code's state_dict keys, so that its checkpoints load with strict=True; its fixtures
show the arithmetic to be the same (tests/benchmarks/test_torch_stylegan2.py). Imports nothing but
torch, numpy and the standard library: it runs in an environment that has only these.

As there, a modulated convolution is one grouped convolution with a kernel for each sample, and a
filter between resolutions is a convolution of every channel by itself. Pictures are NCHW, in
[-1, 1].
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def fir(factor: float = 1.0) -> Tensor:
    """The filter around steps of resolution, [4, 4]."""
    taps = torch.tensor(TAPS)
    kernel = taps[:, None] * taps
    return kernel / kernel.sum() * factor


def filtered(x: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Zeros between pixels, borders of zeros, the filter, every so many pixels."""
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, 1, w, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n * c, 1, h * up, w * up)
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    x = F.conv2d(x, kernel.flip(0, 1)[None, None])[:, :, ::down, ::down]
    return x.reshape(n, c, *x.shape[2:])


class Blur(nn.Module):
    def __init__(self, pad: tuple[int, int], factor: float = 1.0):
        super().__init__()
        self.register_buffer("kernel", fir(factor))
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.kernel, 1, 1, self.pad)


class Upsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir(4.0))

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.kernel, 2, 1, (2, 1))


class Activation(nn.Module):
    """Bias, leaky ReLU, times the root of 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)


class Linear(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0, active: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.rate, self.active = rate / math.sqrt(inputs), rate, active

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.scale, self.bias * self.rate)
        return F.leaky_relu(y, 0.2) * math.sqrt(2) if self.active else y


class Unit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Modulated(nn.Module):
    """A convolution whose kernel is scaled for each sample."""

    def __init__(
        self, inputs: int, outputs: int, size: int, style: int, up: bool = False, demod: bool = True
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, size, size))
        self.modulation = Linear(style, inputs, bias=1.0)
        self.scale, self.size, self.up, self.demod = (
            1 / math.sqrt(inputs * size**2),
            size,
            up,
            demod,
        )
        if up:
            self.blur = Blur((1, 1), 4.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, inputs, height, width = x.shape
        style = self.modulation(w).view(n, 1, inputs, 1, 1)
        kernel = self.scale * self.weight * style
        if self.demod:
            squares = kernel.square().sum((2, 3, 4))
            kernel = kernel * torch.rsqrt(squares + 1e-8).view(n, -1, 1, 1, 1)
        outputs = kernel.shape[1]
        x = x.reshape(1, n * inputs, height, width)
        if self.up:
            kernel = kernel.transpose(1, 2).reshape(n * inputs, outputs, self.size, self.size)
            y = F.conv_transpose2d(x, kernel, stride=2, groups=n)
            return self.blur(y.view(n, outputs, *y.shape[2:]))
        kernel = kernel.reshape(n * outputs, inputs, self.size, self.size)
        y = F.conv2d(x, kernel, padding=self.size // 2, groups=n)
        return y.view(n, outputs, height, width)


class Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None:
            noise = x.new_empty(x.shape[0], 1, *x.shape[2:]).normal_()
        return x + self.weight * noise


class Styled(nn.Module):
    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False):
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, up)
        self.noise, self.activate = Noise(), Activation(outputs)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        return self.activate(self.noise(self.conv(x, w), noise))


class ToRGB(nn.Module):
    def __init__(self, inputs: int, style: int, up: bool = True):
        super().__init__()
        if up:
            self.upsample = Upsample()
        self.conv = Modulated(inputs, 3, 1, style, demod=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, w: Tensor, image: Tensor | None = None) -> Tensor:
        y = self.conv(x, w) + self.bias
        return y if image is None else y + self.upsample(image)


class Constant(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class Generator(nn.Module):
    """widths: channels of each level, 4x4 first."""

    def __init__(self, widths: Sequence[int], style: int, layers: int, rate: float = 0.01):
        super().__init__()
        self.count, self.style_width = 2 * len(widths), style
        mapping = [Linear(style, style, rate, active=True) for _ in range(layers)]
        self.style = nn.Sequential(Unit(), *mapping)
        self.input = Constant(widths[0])
        self.conv1 = Styled(widths[0], widths[0], style)
        self.to_rgb1 = ToRGB(widths[0], style, up=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        sizes = [4]
        for level, (before, width) in enumerate(zip(widths, widths[1:], strict=False), 3):
            self.convs.append(Styled(before, width, style, up=True))
            self.convs.append(Styled(width, width, style))
            self.to_rgbs.append(ToRGB(width, style))
            sizes += [2**level] * 2
        for i, size in enumerate(sizes):
            self.noises.register_buffer(f"noise_{i}", torch.randn(1, 1, size, size))

    def fixed(self) -> list[Tensor]:
        return [getattr(self.noises, f"noise_{i}") for i in range(len(self.convs) + 1)]

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """ws [n, count, style]; noise: of each convolution; None: drawn."""
        noise = noise or [None] * (len(self.convs) + 1)
        x = self.input.input.repeat(len(ws), 1, 1, 1)
        x = self.conv1(x, ws[:, 0], noise[0])
        image = self.to_rgb1(x, ws[:, 1])
        for i, rgb in enumerate(self.to_rgbs):
            x = self.convs[2 * i](x, ws[:, 2 * i + 1], noise[2 * i + 1])
            x = self.convs[2 * i + 1](x, ws[:, 2 * i + 2], noise[2 * i + 2])
            image = rgb(x, ws[:, 2 * i + 3], image)
        return image

    def repeated(self, w: Tensor) -> Tensor:
        return w[:, None].repeat(1, self.count, 1)


class Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.scale, self.stride, self.padding = 1 / math.sqrt(inputs * size**2), stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


def layer(
    inputs: int, outputs: int, size: int, down: bool = False, active: bool = True
) -> nn.Sequential:
    parts: list[nn.Module] = []
    if down:
        parts.append(Blur((2, 2) if size == 3 else (1, 1)))
    stride, padding = (2, 0) if down else (1, size // 2)
    parts.append(Convolution(inputs, outputs, size, stride, padding))
    return nn.Sequential(*parts, *([Activation(outputs)] if active else []))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = layer(inputs, inputs, 3)
        self.conv2 = layer(inputs, outputs, 3, down=True)
        self.skip = layer(inputs, outputs, 1, down=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    """widths: channels of each level, 4x4 first."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        down = list(reversed(widths))
        blocks = [Block(a, b) for a, b in zip(down, down[1:], strict=False)]
        self.convs = nn.Sequential(layer(3, down[0], 1), *blocks)
        self.final_conv = layer(widths[0] + 1, widths[0], 3)
        self.final_linear = nn.Sequential(
            Linear(widths[0] * 16, widths[0], active=True), Linear(widths[0], 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x)
        n, c, h, w = x.shape
        group = min(n, 4)
        deviation = x.view(group, -1, 1, c, h, w).var(0, unbiased=False).add(1e-8).sqrt()
        deviation = deviation.mean((2, 3, 4), keepdim=True).squeeze(2)
        x = torch.cat([x, deviation.repeat(group, 1, h, w)], 1)
        return self.final_linear(self.final_conv(x).view(n, -1))


class TrainingStep:
    """One step after the other, with what is regularised in its rhythm: at step 0 and every so many
    after it. Style mixing as published: once a batch."""

    def __init__(
        self, generator: Generator, discriminator: Discriminator, settings: dict[str, Any]
    ):
        self.g, self.d, self.settings, self.count = generator, discriminator, settings, 0
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.optimizers = {
            network: torch.optim.Adam(
                module.parameters(),
                lr=settings["rate"] * ratio,
                betas=(0.0, 0.99**ratio),
            )
            for network, module, ratio in (
                ("g", generator, settings["path_every"] / (settings["path_every"] + 1)),
                ("d", discriminator, settings["r1_every"] / (settings["r1_every"] + 1)),
            )
        }
        self.path_mean: Tensor | float = 0.0

    def made(self, n: int) -> tuple[Tensor, Tensor]:
        """(pictures, their w of every layer) of fresh latents."""
        both = self.g.style(torch.randn(2 * n, self.g.style_width))
        one, two = both.chunk(2)
        first = self.g.count
        if torch.rand(()) < self.settings["mixing"]:
            first = int(torch.randint(1, self.g.count, ()))
        ws = self.g.repeated(one)
        if first < self.g.count:
            ws = torch.cat([ws[:, :first], self.g.repeated(two)[:, first:]], 1)
        return self.g(ws), ws

    def __call__(self, real: Tensor) -> None:
        settings, n = self.settings, len(real)
        self.g.requires_grad_(False)
        self.d.requires_grad_(True)
        fake, _ = self.made(n)
        loss = F.softplus(-self.d(real)).mean() + F.softplus(self.d(fake)).mean()
        self._stepped("d", loss)
        if self.count % settings["r1_every"] == 0:
            shown = real.detach().requires_grad_(True)
            score = self.d(shown)
            (slope,) = torch.autograd.grad(score.sum(), shown, create_graph=True)
            penalty = slope.square().reshape(n, -1).sum(1).mean()
            weight = settings["r1"] / 2 * settings["r1_every"]
            self._stepped("d", weight * penalty + 0 * score[0, 0])
        self.g.requires_grad_(True)
        self.d.requires_grad_(False)
        fake, _ = self.made(n)
        self._stepped("g", F.softplus(-self.d(fake)).mean())
        if self.count % settings["path_every"] == 0:
            images, ws = self.made(max(1, n // settings["path_shrink"]))
            noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
            (slope,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            mean = self.path_mean + 0.01 * (lengths.mean() - self.path_mean)
            weight = settings["path"] * settings["path_every"]
            self._stepped("g", weight * (lengths - mean).square().mean() + 0 * images[0, 0, 0, 0])
            self.path_mean = mean.detach()
        decay = settings["averaging"]
        with torch.no_grad():
            for mine, new in zip(self.average.parameters(), self.g.parameters(), strict=True):
                mine.mul_(decay).add_(new, alpha=1 - decay)
        self.count += 1

    def _stepped(self, network: str, loss: Tensor) -> None:
        self.optimizers[network].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[network].step()
