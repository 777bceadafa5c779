"""The reference's network classes in PyTorch, written anew from their published description: the
attribute names and the order of layers are theirs, so that their checkpoints load with strict=True.

For tests, where PyTorch is installed; not part of the package.
"""

import torch
from torch import nn


def norm_of(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


class Block(nn.Module):
    def __init__(
        self, width: int, norm: str = "instance", dropout: bool = False, bias: bool = True
    ):
        super().__init__()
        layers = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            norm_of(norm, width),
        ]
        layers += [nn.ReLU(True)] + [nn.Dropout(0.5)] * dropout + [nn.ReflectionPad2d(1)]
        layers += [nn.Conv2d(width, width, 3, bias=bias), norm_of(norm, width)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv_block(x)


def up(wide: int, narrow: int, norm: str, bias: bool) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(
        wide, narrow, 3, stride=2, padding=1, output_padding=1, bias=bias
    )
    return [convolution, norm_of(norm, narrow), nn.ReLU(True)]


def encoder_decoder(d: dict, halvings: int, norm: str = "instance", dropout: bool = False) -> list:
    bias, ngf = norm == "instance", d["ngf"]
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(d["input_nc"], ngf, 7, bias=bias)]
    layers += [norm_of(norm, ngf), nn.ReLU(True)]
    for i in range(halvings):
        width = ngf * 2**i
        convolution = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)
        layers += [convolution, norm_of(norm, 2 * width), nn.ReLU(True)]
    width = ngf * 2**halvings
    layers += [Block(width, norm, dropout, bias) for _ in range(d["n_blocks"])]
    for i in range(halvings):
        layers += up(width // 2**i, width // 2 ** (i + 1), norm, bias)
    return [*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, d["output_nc"], 7), nn.Tanh()]


class GlobalGenerator(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        self.model = nn.Sequential(*encoder_decoder(d, d["n_downsampling"]))

    def forward(self, x):
        return self.model(x)


class ResnetGenerator(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        self.model = nn.Sequential(*encoder_decoder(d, 2, d["norm"], d["dropout"]))

    def forward(self, x):
        return self.model(x)


class LocalEnhancer(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        self.count = d["n_local_enhancers"]
        core = {**d, "ngf": d["ngf"] * 2**self.count, "n_blocks": d["n_blocks_global"]}
        self.model = nn.Sequential(*encoder_decoder(core, d["n_downsample_global"])[:-3])
        for n in range(1, self.count + 1):
            width = d["ngf"] * 2 ** (self.count - n)
            first = [nn.ReflectionPad2d(3), nn.Conv2d(d["input_nc"], width, 7)]
            first += [norm_of("instance", width), nn.ReLU(True)]
            first += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)]
            first += [norm_of("instance", 2 * width), nn.ReLU(True)]
            second = [Block(2 * width) for _ in range(d["n_blocks_local"])]
            second += up(2 * width, width, "instance", True)
            if n == self.count:
                second += [nn.ReflectionPad2d(3), nn.Conv2d(width, d["output_nc"], 7), nn.Tanh()]
            setattr(self, f"model{n}_1", nn.Sequential(*first))
            setattr(self, f"model{n}_2", nn.Sequential(*second))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x):
        pyramid = [x]
        for _ in range(self.count):
            pyramid.append(self.downsample(pyramid[-1]))
        y = self.model(pyramid[-1])
        for n in range(1, self.count + 1):
            first, second = getattr(self, f"model{n}_1"), getattr(self, f"model{n}_2")
            y = second(first(pyramid[self.count - n]) + y)
        return y


def patch_layers(d: dict, norm: str, padding: int, cap: int, bias: bool) -> list[list[nn.Module]]:
    """A list of modules for each convolution."""
    layers = [[nn.Conv2d(d["input_nc"], d["ndf"], 4, 2, padding), nn.LeakyReLU(0.2, True)]]
    width = d["ndf"]
    for j in range(1, d["n_layers"] + 1):
        wide = min(d["ndf"] * 2**j, cap)
        stride = 2 if j < d["n_layers"] else 1
        convolution = nn.Conv2d(width, wide, 4, stride, padding, bias=bias)
        layers.append([convolution, norm_of(norm, wide), nn.LeakyReLU(0.2, True)])
        width = wide
    return [*layers, [nn.Conv2d(width, 1, 4, 1, padding)]]


class NLayerDiscriminator(nn.Module):
    """pix2pixHD's with "intermediate_features" in the description, else pix2pix's."""

    def __init__(self, d: dict):
        super().__init__()
        if "intermediate_features" in d:
            layers = patch_layers(d, d["norm"], 2, 512, True)
        else:
            layers = patch_layers(d, d["norm"], 1, 8 * d["ndf"], d["norm"] == "instance")
        self.prefix = d.get("prefix", "model")
        setattr(self, self.prefix, nn.Sequential(*sum(layers, [])))

    def forward(self, x):
        return [[getattr(self, self.prefix)(x)]]


class MultiscaleDiscriminator(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        self.d = d
        for scale in range(d["num_D"]):
            layers = patch_layers(d, "instance", 2, 512, True)
            if d["intermediate_features"]:
                for j, layer in enumerate(layers):
                    setattr(self, f"scale{scale}_layer{j}", nn.Sequential(*layer))
            else:
                setattr(self, f"layer{scale}", nn.Sequential(*sum(layers, [])))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x):
        scales = []
        for level in range(self.d["num_D"]):
            x = x if level == 0 else self.downsample(x)
            scale = self.d["num_D"] - 1 - level
            if not self.d["intermediate_features"]:
                scales.append([getattr(self, f"layer{scale}")(x)])
                continue
            outputs = [x]
            for j in range(self.d["n_layers"] + 2):
                outputs.append(getattr(self, f"scale{scale}_layer{j}")(outputs[-1]))
            scales.append(outputs[1:])
        return scales


class Level(nn.Module):
    """One level of a U-Net around the next inner one."""

    def __init__(self, d: dict, level: int):
        super().__init__()
        n, norm = d["num_downs"], d["norm"]
        bias = norm == "instance"
        width = [d["ngf"] * min(2**i, 8) for i in range(n)]
        outermost, innermost = level == 0, level == n - 1
        self.outermost = outermost
        outside = d["output_nc"] if outermost else width[level - 1]
        inside = d["input_nc"] if outermost else width[level - 1]
        down = nn.Conv2d(inside, width[level], 4, 2, 1, bias=bias)
        deeper = width[level] if innermost else 2 * width[level]
        convolution = nn.ConvTranspose2d(deeper, outside, 4, 2, 1, bias=bias or outermost)
        if outermost:
            layers = [down, Level(d, 1), nn.ReLU(True), convolution, nn.Tanh()]
        elif innermost:
            layers = [
                nn.LeakyReLU(0.2, True),
                down,
                nn.ReLU(True),
                convolution,
                norm_of(norm, outside),
            ]
        else:
            layers = [
                nn.LeakyReLU(0.2, True),
                down,
                norm_of(norm, width[level]),
                Level(d, level + 1),
            ]
            layers += [nn.ReLU(True), convolution, norm_of(norm, outside)]
            if d["dropout"] and level >= 4:
                layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        self.model = Level(d, 0)

    def forward(self, x):
        return self.model(x)


class PixelDiscriminator(nn.Module):
    def __init__(self, d: dict):
        super().__init__()
        ndf, norm = d["ndf"], d["norm"]
        bias = d.get("bias", norm != "instance")
        self.net = nn.Sequential(
            nn.Conv2d(d["input_nc"], ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_of(norm, 2 * ndf),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x):
        return [[self.net(x)]]


def build(description: dict) -> nn.Module:
    """In training mode as the reference leaves it, but for dropout."""
    module = globals()[description["class"]](description)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    return module
