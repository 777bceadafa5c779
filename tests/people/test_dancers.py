"""animate --person all: everybody in a film becomes a character of their own."""

import numpy as np
import pytest
from company_film import SIZE

from motion_jax.errors import UserError
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.characters import perform
from motion_jax.transfer.dancers import characters_of, dancers, far_to_near
from motion_jax.transfer.performers import of_rig
from motion_jax.video.reader import read_frames


def options(files, **changes):
    film, poses = files
    given = {"method": "rig", "source": film, "poses": poses, "smooth": False, "person": "all"}
    return CharacterOptions(**given | changes)


def test_who_crosses_keeps_the_character(crossing_files, tmp_path):
    out = tmp_path / "two.mp4"
    everyone, times = dancers(options(crossing_files, out=out), lambda who: of_rig(who, 64))
    assert [each.name for each in everyone] == ["A", "B"]
    assert {each.performer.name for each in everyone} == {"paper doll 0", "paper doll 1"}
    for each in everyone:
        assert each.there.all()
        # From one side to the other, without a jump where they meet.
        way = each.act.place[:, 0]
        assert abs(way[-1] - way[0]) > 0.3 * SIZE[1]
        assert np.abs(np.diff(way)).max() < 0.25 * abs(way[-1] - way[0])
    one, two = (each.act.place[:, 0] for each in everyone)
    assert np.sign(one[0] - two[0]) == -np.sign(one[-1] - two[-1])
    assert len(times) == len(one)


def test_both_are_drawn(crossing_files, tmp_path, capsys):
    out = tmp_path / "two.mp4"
    perform(options(crossing_files, out=out, character=("B=5", "A=9"), shadow=False))
    first = next(read_frames(out)).image.astype(int)
    drawn = np.abs(first - (236, 240, 246)).sum(-1) > 60
    half = drawn.shape[1] // 2
    assert drawn[:, :half].any() and drawn[:, half:].any()
    told = capsys.readouterr().err
    assert "A is paper doll 9" in told and "B is paper doll 5" in told
    assert "of paper doll 9, paper doll 5" in told


def test_who_is_not_there_is_not_drawn_and_near_ones_come_last(crossing_files, tmp_path):
    chosen = options(crossing_files, out=tmp_path / "x.mp4")
    everyone, _ = dancers(chosen, lambda who: of_rig(who, 64))
    assert len(list(far_to_near(everyone, 0))) == 2
    for frame in range(0, len(everyone[0].act), 5):
        floors = [each.act.place[frame, 1] for each in far_to_near(everyone, frame)]
        assert floors == sorted(floors)
    everyone[0].there[3] = False
    assert [each.name for each in far_to_near(everyone, 3)] == ["B"]


def test_characters_of_people():
    assert characters_of(("0",), "ABC") == {"A": ["0"], "B": ["1"], "C": ["2"]}
    assert characters_of(("B=7",), "AB") == {"A": ["8"], "B": ["7"]}
    assert characters_of(("3", "girl.png"), "AB") == {"A": ["3"], "B": ["girl.png"]}
    two = characters_of(("A=one.png", "A=two.png", "4"), "AB")
    assert two == {"A": ["one.png", "two.png"], "B": ["4"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"character": ("C=7",)}, "nobody is called C"),
        ({"character": ("1", "2", "3")}, "3 characters for 2 people"),
        ({"person": "A", "character": ("A=7",)}, "people have letters with person all"),
        ({"person": "A,Z"}, "Z"),
    ],
)
def test_what_does_not_go_together_is_said(crossing_files, tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        perform(options(crossing_files, out=tmp_path / "x.mp4", **changes))
    assert not (tmp_path / "x.mp4").exists()
