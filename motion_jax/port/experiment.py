"""An experiment of the original PyTorch programs on the disk: which files, which networks.

The programs write `<epoch>_net_<network>.pth` into checkpoints/<experiment>, where epoch is
"latest" or a number, and the options that they ran with as `opt.txt` (or `train_opt.txt`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError, option
from motion_jax.files import entries, sha256
from motion_jax.port.network import Network, load_network
from motion_jax.port.original_options import read_options

# What the programs call their networks; E is pix2pixHD's encoder of instance features.
NETWORKS = ("G", "D", "Gface", "Dface", "G_A", "G_B", "D_A", "D_B", "E")
SUFFIXES = (".pth", ".pt", ".safetensors")
_NAME = re.compile(rf"(.+)_net_({'|'.join(NETWORKS)})({'|'.join(map(re.escape, SUFFIXES))})")


@dataclass(frozen=True)
class Experiment:
    """Attributes:
    source: the folder or file that was given.
    epoch: "latest", a number, or what else stands before `_net_` ("" for a file named otherwise).
    files: path by network name.
    networks: the networks themselves, by the same names.
    options: of opt.txt, as strings; {} where there is none.
    """

    source: Path
    epoch: str
    files: Mapping[str, Path]
    networks: Mapping[str, Network]
    options: Mapping[str, str] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """What a record says of where weights came from."""
        files = {
            name: {"file": path.name, "sha256": sha256(path)} for name, path in self.files.items()
        }
        return {"from": str(self.source), "epoch": self.epoch, "files": files}


def is_weight_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read_experiment(source: Path, epoch: str = "latest") -> Experiment:
    """Finds and reads the weights of a checkpoints folder, or one weight file.

    Raises UserError where there are none, not of that epoch, or they cannot be read.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(
            f"There is no {source}; give a checkpoints folder of the original program, one of its "
            "weight files, or a run folder."
        )
    folder = source if source.is_dir() else source.parent
    options = read_options(folder)
    if source.is_file():
        match = _NAME.fullmatch(source.name)
        network = load_network(source, options)
        name = match[2] if match else _kind(network.name)
        found = match[1] if match else ""
        return Experiment(source, found, {name: source}, {name: network}, options)
    files = _files(source, epoch)
    networks = {name: load_network(path, options) for name, path in files.items()}
    for ours, beside in (("G", "D"), ("Gface", "Dface")):
        if ours in networks and _is_global(networks[ours], networks.get(beside)):
            networks[ours] = load_network(files[ours], {**options, "netG": "global"})
    return Experiment(source, epoch, files, networks, options)


def _is_global(generator: Network, judge: Network | None) -> bool:
    """Whether what looks like CycleGAN's generator is pix2pixHD's with two halvings, whose weights
    have the same names: the discriminator beside it tells."""
    hd = judge is not None and (
        judge.name == "MultiscaleDiscriminator" or "intermediate_features" in judge.config
    )
    return hd and generator.name == "ResnetGenerator"


def _kind(class_name: str) -> str:
    return "D" if "Discriminator" in class_name else "G"


def _files(folder: Path, epoch: str) -> dict[str, Path]:
    """The weight files of one epoch, by network name."""
    epochs: dict[str, dict[str, Path]] = {}
    for path in entries(folder):
        if match := _NAME.fullmatch(path.name):
            epochs.setdefault(match[1], {}).setdefault(match[2], path)
    if not epochs:
        raise UserError(
            f"{folder} holds no weights of the original programs (files such as latest_net_G.pth); "
            "give the experiment's folder under checkpoints."
        )
    if epoch not in epochs:
        known = sorted(epochs, key=lambda name: (not name.isdigit(), name.zfill(12)))
        raise UserError(
            f"{folder} has no weights of epoch {epoch!r}; choose with {option('epoch')} one of "
            f"{', '.join(known)}."
        )
    found = epochs[epoch]
    return {name: found[name] for name in NETWORKS if name in found}
