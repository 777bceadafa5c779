"""The options that the original programs wrote beside their weights, and whether both agree.

pix2pixHD and Everybody Dance Now write `opt.txt`, one `name: value` a line; pix2pix and CycleGAN
`train_opt.txt` (`opt.txt` in older versions), padded, with `[default: value]` after values that are
not the default.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError
from motion_jax.weights.unpickle import quoted

FILES = ("opt.txt", "train_opt.txt")
_MOST = 2**20

Options = Mapping[str, str]


def read_options(path: Path) -> dict[str, str]:
    """The options of a file, or of the first of FILES in a folder; {} for a folder without one.

    Raises UserError for a file that cannot be read, or that holds no options.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in FILES if (path / name).is_file()]
        if not found:
            return {}
        path = found[0]
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read ({quoted(error)}); remove it to go by the weights alone."
        ) from error
    options = parse_options(text)
    if not options:
        raise UserError(
            f"{path} holds no options (lines `name: value`); remove it to go by the weights alone."
        )
    return options


def parse_options(text: str) -> dict[str, str]:
    """Options by name from the text of an options file; other lines are passed over."""
    options = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(\w+):(.*)", line)
        if match:
            options[match[1]] = re.split(r"\s+\[default: ", match[2])[0].strip()
    return options


def network_of(path: Path) -> str | None:
    """What the original programs call the network of a file: "G", "Dface", "G_A" …; None where the
    name does not say."""
    match = re.fullmatch(r".*_net_([DEG](?:face|_[AB])?)\.\w+", Path(path).name)
    return match[1] if match else None


def check_built(network: str | None) -> None:
    """Raises UserError for pix2pixHD's encoder, whose weights alone look like a generator's."""
    if network == "E":
        raise UserError(
            "This is pix2pixHD's encoder of instance features (_net_E), which motion_jax does not "
            "build; its weights can be read with motion_jax.weights.torch.read_pth."
        )


def apply(description: Mapping, options: Options, network: str | None, where: object) -> dict:
    """The description with what only options can tell (dropout of a U-Net, the class where two are
    the same), after checking that options and weights agree.

    network: as network_of() gives it; None takes the options of a main network. Options that are
    absent say nothing. Raises UserError that names both values of the first that disagrees.
    """
    if network in ("Gface", "Dface"):
        return dict(description)  # the programs have no options that these heed
    found = _settled(description, options)
    for name, (option, value) in _expected(found, options).items():
        actual = found.get(name, "instance" if name == "norm" else None)
        if actual != value:
            raise UserError(
                f"{where} holds the weights of a network with {name} {actual}, but the options "
                f"beside it say {option} = {options[option]}, which makes {name} {value}; remove "
                "the options file if it belongs to other weights."
            )
    if found["class"] == "UnetGenerator" and "no_dropout" in options:
        found["dropout"] = not _truth(options["no_dropout"])
    return found


def _settled(description: Mapping, options: Options) -> dict:
    """A GlobalGenerator with two downsamplings is known as such by its options alone."""
    found = dict(description)
    twin = found["class"] == "ResnetGenerator" and found["norm"] == "instance"
    if options.get("netG") == "global" and twin and not found["dropout"]:
        del found["norm"], found["dropout"]
        found |= {"class": "GlobalGenerator", "n_downsampling": 2}
    return found


_NET_G: dict[str, dict[str, Any]] = {
    "global": {"class": "GlobalGenerator"},
    "local": {"class": "LocalEnhancer"},
    "resnet_9blocks": {"class": "ResnetGenerator", "n_blocks": 9},
    "resnet_6blocks": {"class": "ResnetGenerator", "n_blocks": 6},
    "unet_128": {"class": "UnetGenerator", "num_downs": 7},
    "unet_256": {"class": "UnetGenerator", "num_downs": 8},
}
_NET_D: dict[str, dict[str, Any]] = {
    "basic": {"class": "NLayerDiscriminator", "n_layers": 3},
    "n_layers": {"class": "NLayerDiscriminator"},
    "pixel": {"class": "PixelDiscriminator"},
}


def _expected(found: Mapping, options: Options) -> dict[str, tuple[str, object]]:
    """Argument -> (the option that sets it, the value that it sets)."""
    kind = found["class"]
    discriminator = "Discriminator" in kind
    option, classes = ("netD", _NET_D) if discriminator else ("netG", _NET_G)
    fixed = classes.get(options.get(option, ""), {})
    expected: dict[str, tuple[str, object]] = {n: (option, value) for n, value in fixed.items()}

    def take(argument: str, option: str) -> None:
        if argument in found and option in options and argument not in expected:
            expected[argument] = (option, _number(option, options[option]))

    def take_truth(argument: str, option: str) -> None:
        if argument in found and option in options:
            expected[argument] = (option, not _truth(options[option]))

    if discriminator:
        for argument, option in (("ndf", "ndf"), ("n_layers", "n_layers_D"), ("num_D", "num_D")):
            take(argument, option)
        if kind == "MultiscaleDiscriminator":
            take_truth("intermediate_features", "no_ganFeat_loss")
    else:
        take("ngf", "ngf")
        take("n_downsampling", "n_downsample_global")
        take("n_blocks", "n_blocks_global")
        for name in ("n_downsample_global", "n_blocks_global"):
            take(name, name)
        take("n_local_enhancers", "n_local_enhancers")
        take("n_blocks_local", "n_blocks_local")
        if kind == "ResnetGenerator":
            take_truth("dropout", "no_dropout")
        for argument, entry in _channels(kind, options).items():
            expected[argument] = entry
    if "norm" in options:
        expected["norm"] = ("norm", options["norm"])
    return expected


def _channels(kind: str, options: Options) -> dict[str, tuple[str, object]]:
    """input_nc and output_nc of a generator, as far as the options say them."""
    found: dict[str, tuple[str, object]] = {}
    if "output_nc" in options:
        found["output_nc"] = ("output_nc", _number("output_nc", options["output_nc"]))
    if kind in ("UnetGenerator", "ResnetGenerator"):
        # pix2pix exchanges the two for --direction BtoA, CycleGAN for its second generator.
        if options.get("input_nc") != options.get("output_nc"):
            return {}
        if "input_nc" in options:
            found["input_nc"] = ("input_nc", _number("input_nc", options["input_nc"]))
        return found
    if any(_truth(options.get(name, "False")) for name in ("instance_feat", "label_feat")):
        return found
    option = "label_nc" if options.get("label_nc", "0") != "0" else "input_nc"
    if option in options and "no_instance" in options:
        # The map of edges between instances is one channel more.
        edges = 0 if _truth(options["no_instance"]) else 1
        found["input_nc"] = (option, _number(option, options[option]) + edges)
    return found


def _number(option: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise UserError(
            f"The options say {option} = {quoted(value)}, which is no whole number; correct the "
            "options file or remove it."
        ) from error


def _truth(value: str) -> bool:
    return value.strip().lower() in ("true", "1", "yes")
