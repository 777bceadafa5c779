"""Two drawn people who cross: what was seen of them, and the film."""

import pytest
from company_film import SIZE, walkers

from benchmarks.drawn_people import observed, poses_of, write_film, write_poses


@pytest.fixture(scope="session")
def crossing():
    """(the company, its observations, the dancer of each): two who exchange their places."""
    film = walkers([(-0.5, 0.5), (0.5, -0.5)])
    return film, *observed(film, SIZE)


@pytest.fixture(scope="session")
def crossing_files(crossing, tmp_path_factory):
    """(the film, a folder of everybody's poses)."""
    folder = tmp_path_factory.mktemp("crossing")
    film = crossing[0]
    poses = write_poses(poses_of(film, SIZE), folder / "poses")
    return write_film(film, folder / "film.mp4", SIZE), poses
