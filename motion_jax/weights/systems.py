"""Which system a checkpoint of several networks is of, by their names."""

from collections.abc import Iterable

# Networks that only one system's checkpoints have: what that system is.
OTHERS = {
    "region_predictor": "MRAA (articulated animation, Siarohin et al. 2021)",
    "inpainting_network": "TPSMM (Thin-Plate Spline Motion Model, Zhao and Zhang 2022)",
    "he_estimator": "face vid2vid (One-Shot Free-View, Wang et al. 2021)",
    "appearance_feature_extractor": "LivePortrait (Guo et al. 2024)",
}


def other(networks: Iterable[object]) -> str | None:
    """The system of these networks, where it is one that has no place here; else None."""
    return next((OTHERS[name] for name in map(str, networks) if name in OTHERS), None)
