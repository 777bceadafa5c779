"""Who is who in drawn films, whose answer is known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from company_film import SIZE, walkers
from PIL import Image

from benchmarks.drawn_people import observed
from motion_jax.cli import main
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.pose.motion import motion_of
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people import colours
from motion_jax.pose.people.choice import letter, parse_at, parse_same
from motion_jax.pose.people.everybody import arranged, everybody
from motion_jax.pose.people.identities import corrected
from motion_jax.puppet import company


def letters_of(found, truth):
    """For each dancer the letters that it was given, in order of time."""
    given = {}
    for who, number in zip(truth, found.of_record, strict=True):
        if number >= 0:
            run = given.setdefault(int(who), [])
            if not run or run[-1] != found.names[number]:
                run.append(found.names[number])
    return given


def test_people_who_cross_keep_their_letters(crossing, tmp_path):
    film, seen, truth = crossing
    people = arranged(tmp_path / "film.mp4", seen, PoseOptions())
    given = letters_of(people.found, truth)
    assert people.names == ("A", "B") and sorted(map(tuple, given.values())) == [("A",), ("B",)]
    # The nearer one is larger.
    assert given[1] == ["A"]
    track = people.body_track("A")
    assert track.found.all() and track.keypoints.shape == (len(film), 137, 3)


def test_one_who_leaves_comes_back_as_the_same(tmp_path):
    film = walkers([(-0.3, -0.3), (0.2, 0.2)], frames=60)
    gone = np.concatenate([np.linspace(0.2, 1.2, 20), np.full(20, 1.2), np.linspace(1.2, 0.2, 20)])
    film = company.Company(
        (film.dancers[0], dataclasses.replace(film.dancers[1], x=gone)), film.place
    )
    seen, truth = observed(film, SIZE)
    people = arranged(tmp_path / "film.mp4", seen, PoseOptions())
    assert all(len(run) == 1 for run in letters_of(people.found, truth).values())
    away = people.body_track(people.found.names[people.found.of_record[np.argmax(truth == 1)]])
    assert 0 < away.found.sum() < len(film) and "hidden" in away.reasons[30]


def test_one_who_is_found_at_two_places_in_turns_is_one(tmp_path):
    seen, truth = observed(walkers([(0.2, 0.25), (0.7, 0.7)], frames=40), SIZE)
    records = seen.records.copy()
    poses, frames = records["pose"], records["frame"]
    # Half of the time the detector puts the first one's joints far too high.
    wrong = (truth == 0) & (frames % 4 < 2) & (frames > 4) & (frames < 30)
    size = np.ptp(poses[truth == 0][0, :25, 1])
    poses[wrong, :, 1] -= 0.3 * size * (poses[wrong, :, 2] > 0)
    seen = dataclasses.replace(seen, records=records)
    people = arranged(tmp_path / "film.mp4", seen, PoseOptions())
    assert sorted(map(tuple, letters_of(people.found, truth).values())) == [("A",), ("B",)]


def test_nobody_is_in_two_places(crossing):
    _, seen, _ = crossing
    found = arranged_of(seen)
    frames = seen.records["frame"]
    for number in range(len(found.names)):
        mine = frames[found.of_record == number]
        assert len(np.unique(mine)) == len(mine)


def arranged_of(seen):
    return arranged(Path("film.mp4"), seen, PoseOptions()).found


def test_colours_tell_people_apart(crossing):
    _, seen, truth = crossing
    looks = [colours.Looks(), colours.Looks(), colours.Looks(), colours.Looks()]
    for number, (who, record) in enumerate(zip(truth, seen.records, strict=True)):
        looks[2 * who + number % 2].add(record["colours"], record["worth"])
    same = [colours.distance(looks[0], looks[1]), colours.distance(looks[2], looks[3])]
    assert max(same) < 0.15 < 0.4 < colours.distance(looks[0], looks[2])
    assert np.isnan(colours.distance(looks[0], colours.Looks()))


def test_corrections_by_hand(crossing):
    _, seen, truth = crossing
    found = arranged_of(seen)
    # Whoever is where B is at 0.2 s is said to be A: that stretch changes letters.
    record = int(np.flatnonzero((found.of_record == 1) & (seen.records["frame"] == 5))[0])
    x, y = seen.records["pose"][record][8, :2]
    changed = corrected(found, seen, [], parse_at([f"A=0.2s,{x:.0f},{y:.0f}"]))
    assert changed.of_record[record] == 0 and found.of_record[record] == 1
    assert (changed.of_record >= 0).sum() == (found.of_record >= 0).sum()
    with pytest.raises(UserError, match="names Z, whom the video does not show"):
        corrected(found, seen, [("A", "Z")], [])
    with pytest.raises(UserError, match="seen at the same time"):
        corrected(found, seen, [("A", "B")], [])
    with pytest.raises(UserError, match="nobody was found there"):
        corrected(found, seen, [], parse_at(["A=0.2s,1,1"]))
    with pytest.raises(UserError, match="not within the video's"):
        corrected(found, seen, [], parse_at(["A=99s,1,1"]))


def test_two_letters_of_one_person_become_one(crossing):
    _, seen, truth = crossing
    # Somebody who was taken for two: the second half has a letter of its own.
    found = arranged_of(seen)
    halves = found.of_record.copy()
    halves[(found.of_record == 1) & (seen.records["frame"] > 24)] = 2
    split = dataclasses.replace(found, names=("A", "B", "C"), of_record=halves)
    joined = corrected(split, seen, parse_same(["B,C"]), [])
    assert joined.names == ("A", "B")
    np.testing.assert_array_equal(joined.of_record, found.of_record)


def test_words_for_people():
    assert [letter(n) for n in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]
    (at,) = parse_at(["12.4s,350,200"])
    assert (at.time, at.x, at.y, at.name) == (12.4, 350, 200, None)
    for wrong in ("12.4s,350", "x,1,2", "a=1s,2,3"):
        with pytest.raises(UserError, match="is not a time and place"):
            parse_at([wrong])
    with pytest.raises(UserError, match="given twice"):
        parse_at(["1s,2,3", "2s,2,3"])
    with pytest.raises(UserError, match="two letters or more"):
        parse_same(["A"])


def test_pose_files_with_several_people(crossing_files, crossing):
    film, poses = crossing_files
    people = everybody(film, PoseOptions(poses=poses, person="all"))
    assert people.names == ("A", "B")
    motion = motion_of(film, PoseOptions(poses=poses, person="A", smooth=False))
    truth = company.keypoints(crossing[0], 1, 120, 160)[:, :25]
    seen = (truth[..., 2] > 0) & (motion.track.keypoints[:, :25, 2] > 0)
    away = np.abs(motion.track.keypoints[:, :25, :2] - truth[..., :2])[seen]
    assert seen.mean() > 0.9 and np.quantile(away, 0.95) < 1.0
    x, y = truth[10, 8, :2]
    same = motion_of(film, PoseOptions(poses=poses, at=(f"0.4s,{x:.0f},{y:.0f}",), smooth=False))
    np.testing.assert_array_equal(same.track.keypoints, motion.track.keypoints)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"person": "D"}, "names D, whom the video does not show: it shows 2 people"),
        ({"person": "A,B"}, "names 2 people"),
        ({"person": "all", "boxes": "x.txt"}, "do not go together"),
        ({"person": "largest", "same": ("A,B",)}, "works only with people who are kept apart"),
        ({"person": "anna"}, "is not a choice"),
    ],
)
def test_people_who_cannot_be_followed(crossing_files, options, message):
    film, poses = crossing_files
    with pytest.raises(UserError, match=message):
        motion_of(film, PoseOptions(poses=poses, **options))


def test_the_sheet(crossing_files, tmp_path, capsys):
    film, poses = crossing_files
    out = tmp_path / "who"
    main(["people", str(film), "--poses", str(poses), "--out", str(out), "--write-poses"])
    assert "shows 2 people: A, B" in capsys.readouterr().err
    report = json.loads((out / "people.json").read_text())
    assert [one["name"] for one in report["people"]] == ["A", "B"]
    assert report["frames"] == 48 and report["unsure"] == []
    with Image.open(out / "people.png") as picture:
        assert picture.width == 900 and picture.height > 450
    assert len(list((out / "poses" / "B").glob("*_keypoints.json"))) == 48
    with pytest.raises(SystemExit):
        main(["people", str(film), "--poses", str(poses), "--out", str(out), "--at", "1s,2,3"])


def test_a_dataset_for_each(crossing_files, tmp_path):
    film, poses = crossing_files
    options = PrepareOptions(
        (film,), tmp_path / "data", poses=poses, person="all", size="64x64", workers=1
    )
    prepare(options)
    assert (tmp_path / "data" / "people.png").is_file()
    datasets = [open_dataset(tmp_path / "data" / name) for name in "AB"]
    assert all(len(dataset) > 20 for dataset in datasets)
    one, other = (dataset[10]["frame"].astype(int) for dataset in datasets)
    assert np.abs(one - other).mean() > 2
    with pytest.raises(UserError, match="names people of one video, and 2 are given"):
        prepare(dataclasses.replace(options, videos=(film, film)))
