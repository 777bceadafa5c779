"""Small drawn films of people who go from place to place."""

import numpy as np

from motion_jax.puppet import company
from motion_jax.puppet.crowd import character

SIZE = (120, 160)


def walkers(paths, frames: int = 48, puppets=(), place="studio", floors=None) -> company.Company:
    """Dancers who go from place to place: for each the x at the beginning and at the end, shares of
    the frame's height from the middle."""
    dancers = []
    for number, (start, end) in enumerate(paths):
        x = np.linspace(start, end, frames)
        floor = (0.84 + 0.05 * number) if floors is None else floors[number]
        puppet = puppets[number] if puppets else character(7 * number + 3)
        motion = company.dance(frames, 25.0, seed=number)
        dancers.append(company.Dancer(puppet, motion, x, np.full(frames, floor)))
    return company.Company(tuple(dancers), place)
