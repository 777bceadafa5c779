"""The networks of pix2pixHD and Everybody Dance Now in PyTorch, to be measured against.

Written from their description (layers, order, names), not copied. Attribute names and indices give
the published code's state_dict keys, so that its checkpoints load with strict=True. Imports nothing
but torch, numpy and the standard library: it runs in an environment that has only these.

Pictures are NCHW, in [-1, 1]. Activations work in place, as in the published code.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

# Channels of VGG-19's convolutions up to relu5_1; "M" halves by max-pooling.
VGG_LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
# Modules of torchvision's `features` where the five slices end (each after a ReLU).
VGG_SLICES = (2, 7, 12, 21, 30)
# The convolutions after relu5_1 are not used; the seeded weights are drawn for all sixteen.
VGG_SEED = 19


def reflected(channels: int, features: int, size: int) -> list[nn.Module]:
    """Reflection padding and a convolution that keep the picture's size."""
    return [nn.ReflectionPad2d(size // 2), nn.Conv2d(channels, features, size)]


def normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def halving(channels: int) -> list[nn.Module]:
    layer = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
    return [layer, *normalised(2 * channels)]


def doubling(channels: int) -> list[nn.Module]:
    half = channels // 2
    layer = nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1)
    return [layer, *normalised(half)]


def average_pool() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))) with reflection padding."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            *reflected(channels, channels, 3),
            *normalised(channels),
            *reflected(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class GlobalGenerator(nn.Module):
    """[N, input_nc, H, W] -> [N, output_nc, H, W]; H and W divisible by 2^n_downsampling."""

    def __init__(
        self,
        input_nc: int = 6,
        output_nc: int = 3,
        ngf: int = 64,
        n_downsampling: int = 4,
        n_blocks: int = 9,
    ):
        super().__init__()
        layers = [*reflected(input_nc, ngf, 7), *normalised(ngf)]
        for level in range(n_downsampling):
            layers += halving(ngf * 2**level)
        layers += [ResidualBlock(ngf * 2**n_downsampling) for _ in range(n_blocks)]
        for level in reversed(range(n_downsampling)):
            layers += doubling(ngf * 2 ** (level + 1))
        layers += [*reflected(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class LocalEnhancer(nn.Module):
    """A GlobalGenerator without its last layer at the lowest size, and enhancers that double the
    size once each. ngf is the width at the full size.
    """

    def __init__(
        self,
        input_nc: int = 6,
        output_nc: int = 3,
        ngf: int = 32,
        n_downsample_global: int = 4,
        n_blocks_global: int = 9,
        n_local_enhancers: int = 1,
        n_blocks_local: int = 3,
    ):
        super().__init__()
        self.enhancers = n_local_enhancers
        core = GlobalGenerator(
            input_nc, output_nc, ngf * 2**n_local_enhancers, n_downsample_global, n_blocks_global
        )
        self.model = core.model[:-3]
        for n in range(1, n_local_enhancers + 1):
            width = ngf * 2 ** (n_local_enhancers - n)
            before = [*reflected(input_nc, width, 7), *normalised(width), *halving(width)]
            after = [ResidualBlock(2 * width) for _ in range(n_blocks_local)]
            after += doubling(2 * width)
            if n == n_local_enhancers:
                after += [*reflected(ngf, output_nc, 7), nn.Tanh()]
            setattr(self, f"model{n}_1", nn.Sequential(*before))
            setattr(self, f"model{n}_2", nn.Sequential(*after))
        self.downsample = average_pool()

    def forward(self, x: Tensor) -> Tensor:
        pyramid = [x]
        for _ in range(self.enhancers):
            pyramid.append(self.downsample(pyramid[-1]))
        out = self.model(pyramid[-1])
        for n in range(1, self.enhancers + 1):
            before, after = getattr(self, f"model{n}_1"), getattr(self, f"model{n}_2")
            out = after(before(pyramid[self.enhancers - n]) + out)
        return out


def patch_layers(input_nc: int, ndf: int, n_layers: int, norm: type) -> list[list[nn.Module]]:
    """PatchGAN: kernel 4, zero padding 2; stride 2 for the first n_layers, then 1. One list of
    modules for each feature that it can return, the logits last.
    """

    def conv(channels: int, features: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(channels, features, 4, stride=stride, padding=2)

    def leaky() -> nn.LeakyReLU:
        return nn.LeakyReLU(0.2, inplace=True)

    groups = [[conv(input_nc, ndf, 2), leaky()]]
    channels = ndf
    for layer in range(1, n_layers + 1):
        features = min(2 * channels, 512)
        stride = 2 if layer < n_layers else 1
        groups.append([conv(channels, features, stride), norm(features), leaky()])
        channels = features
    groups.append([conv(channels, 1, 1)])
    return groups


class NLayerDiscriminator(nn.Module):
    """[N, C, H, W] -> logits [N, 1, h, w] (intermediate features off: the face discriminator's way,
    with batch norm in training mode).
    """

    def __init__(
        self,
        input_nc: int = 6,
        ndf: int = 64,
        n_layers: int = 3,
        norm: str = "batch",
        prefix: str = "model",
    ):
        super().__init__()
        kind = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}[norm]
        groups = patch_layers(input_nc, ndf, n_layers, kind)
        self.prefix = prefix
        setattr(self, prefix, nn.Sequential(*(layer for group in groups for layer in group)))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.prefix)(x)


class MultiscaleDiscriminator(nn.Module):
    """num_D PatchGANs on a pyramid. Returns a list over scales, the full resolution first, of lists
    [feature, …, logits], or [logits] without intermediate features.

    The copy with the highest index sees the full resolution.
    """

    def __init__(
        self,
        input_nc: int = 12,
        ndf: int = 64,
        n_layers: int = 3,
        num_D: int = 2,
        intermediate_features: bool = True,
    ):
        super().__init__()
        self.scales, self.layers, self.features = num_D, n_layers + 2, intermediate_features
        for scale in range(num_D):
            groups = patch_layers(input_nc, ndf, n_layers, nn.InstanceNorm2d)
            if intermediate_features:
                for j, group in enumerate(groups):
                    setattr(self, f"scale{scale}_layer{j}", nn.Sequential(*group))
            else:
                every = (layer for group in groups for layer in group)
                setattr(self, f"layer{scale}", nn.Sequential(*every))
        self.downsample = average_pool()

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        outputs = []
        for scale in reversed(range(self.scales)):
            outputs.append(self._one(scale, x))
            if scale:
                x = self.downsample(x)
        return outputs

    def _one(self, scale: int, x: Tensor) -> list[Tensor]:
        if not self.features:
            return [getattr(self, f"layer{scale}")(x)]
        found = []
        for j in range(self.layers):
            x = getattr(self, f"scale{scale}_layer{j}")(x)
            found.append(x)
        return found


class VGG19Slices(nn.Module):
    """[N, 3, H, W] -> relu1_1, relu2_1, relu3_1, relu4_1, relu5_1. Frozen.

    Weights are the seeded ones of the parity fixtures: He-scaled normal numbers, biases zero.
    """

    def __init__(self):
        super().__init__()
        generator, layers, channels = np.random.default_rng(VGG_SEED), [], 3
        for features in VGG_LAYERS:
            if features == "M":
                layers.append(nn.MaxPool2d(2, stride=2))
                continue
            layer = nn.Conv2d(channels, features, 3, padding=1)
            weight = generator.standard_normal((features, channels, 3, 3))
            weight = weight * math.sqrt(2 / (channels * 9))
            layer.weight.data.copy_(torch.from_numpy(weight.astype(np.float32)))
            layer.bias.data.zero_()
            layers += [layer, nn.ReLU(inplace=True)]
            channels = features
        starts = (0, *VGG_SLICES)
        for i, (start, end) in enumerate(zip(starts, VGG_SLICES, strict=False)):
            setattr(self, f"slice{i + 1}", nn.Sequential(*layers[start:end]))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for i in range(len(VGG_SLICES)):
            x = getattr(self, f"slice{i + 1}")(x)
            outputs.append(x)
        return outputs


def initialise(network: nn.Module) -> nn.Module:
    """Weights of every convolution from N(0, 0.02), batch norm's from N(1, 0.02); biases stay
    PyTorch's."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network


def network_from_description(description: dict) -> nn.Module:
    """The network of a fixture's {"class": …, constructor arguments}."""
    classes = {
        "GlobalGenerator": GlobalGenerator,
        "LocalEnhancer": LocalEnhancer,
        "MultiscaleDiscriminator": MultiscaleDiscriminator,
        "NLayerDiscriminator": NLayerDiscriminator,
        "VGG19 slices": VGG19Slices,
    }
    arguments = {key: value for key, value in description.items() if key != "class"}
    # The single-scale discriminator is only used without them, so it has no such argument.
    single = description["class"] == "NLayerDiscriminator"
    if single and arguments.pop("intermediate_features", False):
        raise ValueError("NLayerDiscriminator returns no intermediate features")
    return classes[description["class"]](**arguments)
