"""One moment in, one picture out: chunks, gaps, videos one after another, live."""

import numpy as np
import pytest

from motion_jax.transfer.player import FADE_SECONDS, Player
from motion_jax.transfer.source import Moment


class Counting:
    """Makes grey pictures: as bright as the moment's number times 4 plus the number of pictures
    since the last reset. Keeps how many moments it was given at once."""

    def __init__(self):
        self.chunks, self.resets, self.state = [], 0, None

    def reset(self):
        self.resets, self.state = self.resets + 1, 0

    def begin(self, moments):
        self.chunks.append(len(moments))
        grey = [
            4 * int(moment.shown["number"]) + self.state + i for i, moment in enumerate(moments)
        ]
        self.state += len(moments)
        return (np.full((4, 4, 3), level, np.uint8) for level in grey)


class Checkered:
    """Two stripes."""

    def reset(self):
        pass

    def begin(self, moments):
        picture = np.zeros((4, 4, 3), np.uint8)
        picture[:2] = 200
        return iter([picture] * len(moments))


def moments(count: int, lost=()) -> list[Moment]:
    """At 25 a second; those of the numbers `lost` without the person."""
    return [Moment(i / 25, None if i in lost else {"number": np.array(i)}) for i in range(count)]


def played(player: Player, given: list[Moment]) -> np.ndarray:
    """The pictures, having checked that each comes with its moment."""
    shots = list(player.play(iter(given)))
    assert [moment for moment, _ in shots] == given
    return np.stack([picture for _, picture in shots])


def test_the_result_does_not_depend_on_the_chunk():
    results = []
    for chunk in (1, 3, 16):
        maker = Counting()
        results.append(played(Player(maker, chunk), moments(11, lost=(4, 5))))
        assert max(maker.chunks) <= chunk and sum(maker.chunks) == 9, "each with the person once"
        assert maker.resets == 2
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_memory_is_two_chunks():
    """While the pictures of a chunk are given, the next one is being made, and no more."""
    maker, counts = Counting(), []
    for _ in Player(maker, 4).play(moments(9)):
        counts.append(len(maker.chunks))
    assert counts == [2, 2, 2, 2, 3, 3, 3, 3, 3]


def test_gaps_are_held():
    seen = played(Player(Counting(), 8), moments(12, lost=(0, 1, 5, 6, 7, 11)))[:, 0, 0, 0]
    assert seen[0] == seen[1] == seen[2], "before the first pose: the first picture"
    assert seen[5] == seen[6] == seen[7] == seen[4]
    assert seen[11] == seen[10]
    assert len(set(seen[[2, 3, 4, 8, 9, 10]])) == 6


def test_gaps_are_faded():
    given = moments(60, lost=range(10, 50))
    seen = played(Player(Checkered(), 8, "fade"), given).astype(int)
    contrast = seen[:, 0, 0, 0] - seen[:, 3, 0, 0]
    assert (contrast[:10] == 200).all() and (contrast[50:] == 200).all()
    assert (np.diff(contrast[9:23]) <= 0).all() and (np.diff(contrast[37:51]) >= 0).all()
    assert (contrast[23:37] == 0).all(), "nothing but the mean colour half a second into the gap"
    assert (seen[30] == 100).all()


def test_nobody_at_all():
    with pytest.raises(ValueError, match="no moment shows the person"):
        list(Player(Counting()).play(moments(3, lost=range(3))))


def test_videos_one_after_another_know_nothing_of_each_other():
    player = Player(Counting(), 4)
    first = played(player, moments(9, lost=(0, 8)))
    np.testing.assert_array_equal(played(player, moments(9, lost=(0, 8))), first)
    # One that was left in the middle too.
    next(player.play(moments(9)))
    np.testing.assert_array_equal(played(player, moments(9, lost=(0, 8))), first)


def test_live_a_moment_gives_its_picture_at_once():
    """The same pictures as of a file, but that nothing is known of what comes after a gap."""
    given = moments(12, lost=(0, 1, 5, 6, 7, 11))
    of_file = played(Player(Counting(), 3), given)
    player = Player(Counting())
    live = [player.next(moment) for moment in given]
    assert live[0] is None and live[1] is None, "nobody was seen yet"
    np.testing.assert_array_equal(np.stack(live[2:]), of_file[2:])
    player.reset()
    assert player.next(given[0]) is None, "the last video is forgotten"


def test_live_a_picture_fades_while_nobody_is_seen():
    player = Player(Checkered(), gaps="fade")
    seen = [player.next(moment).astype(int) for moment in moments(40, lost=range(5, 30))]
    contrast = [picture[0, 0, 0] - picture[3, 0, 0] for picture in seen]
    assert contrast[4] == 200 > contrast[5] > contrast[9] > 0
    assert set(contrast[5 + round(FADE_SECONDS * 25) : 30]) == {0}
    assert set(contrast[30:]) == {200}
