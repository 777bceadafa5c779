"""VGG-19's ImageNet weights: torchvision's published file, as our parameters."""

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.download import download
from motion_jax.errors import UserError, option
from motion_jax.files import atomic_path, cache_folder
from motion_jax.weights import names
from motion_jax.weights.torch import read_pth

ADDRESS = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
# torchvision names its files by the first eight digits of their SHA-256.
SHA256_PREFIX = "dcbb9e9d"


def cached() -> Path:
    """Where `motion-jax fetch vgg19` leaves the converted weights."""
    return cache_folder() / "models" / "vgg19.npz"


def fetch_vgg19(opener: Callable = urllib.request.urlopen) -> Path:
    """Downloads and converts the weights, once; returns the converted file."""
    if cached().is_file():
        return cached()
    published = cached().with_name(ADDRESS.rsplit("/", 1)[1])
    if not published.is_file():
        download(ADDRESS, published, SHA256_PREFIX, opener)
    params = from_torchvision(published)["params"]
    with atomic_path(cached()) as temporary:
        arrays: dict[str, Any] = {
            f"{layer}/{leaf}": np.asarray(v) for layer, e in params.items() for leaf, v in e.items()
        }
        np.savez(temporary, **arrays)
    published.unlink()
    return cached()


def from_torchvision(path: Path) -> dict:
    """Parameters of nets.vgg.VGG19 from torchvision's state_dict, without its classifier.

    Raises UserError where the file is not of VGG-19.
    """
    weights = read_pth(path)
    wanted = {
        key for _, prefix, _ in names.vgg19() for key in (f"{prefix}.weight", f"{prefix}.bias")
    }
    return names.from_torch(
        {k: v for k, v in weights.items() if k in wanted}, names.vgg19(), str(path)
    )


def load_vgg19(path: Path | None = None) -> dict:
    """The weights from a .pth of torchvision or from our .npz; without a path the fetched ones.

    Raises UserError that says how to get them where there are none.
    """
    if path is None:
        path = cached()
        if not path.is_file():
            raise UserError(
                "This config's perceptual loss needs VGG-19's weights, which are not on this "
                "machine; run `motion-jax fetch vgg19` once, give a local torchvision file with "
                f"{option('vgg')} PATH, or train without with "
                f"{option('recipe.losses.perceptual')} none {option('recipe.losses.l1')} 50."
            )
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path} with VGG-19's weights; check {option('vgg')}.")
    if path.suffix != ".npz":
        return from_torchvision(path)
    try:
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # every way in which a damaged archive can fail
        raise UserError(
            f"{path} cannot be read ({error}); it is damaged: remove it and run `motion-jax fetch "
            "vgg19` again."
        ) from error
    tree: dict = {}
    for (layer,), _, _ in names.vgg19():
        for leaf in ("kernel", "bias"):
            if f"{layer}/{leaf}" not in values:
                raise UserError(
                    f"{path} does not hold VGG-19's weights (no {layer}/{leaf}); give the file "
                    "that `motion-jax fetch vgg19` made, or torchvision's .pth."
                )
            tree.setdefault(layer, {})[leaf] = values[f"{layer}/{leaf}"]
    return {"params": tree}
