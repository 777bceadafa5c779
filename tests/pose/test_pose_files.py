import json

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose.draw import draw_edn
from motion_jax.pose.files import read_edn_yml, read_openpose, read_poses, write_openpose
from motion_jax.pose.skeleton import COUNT, LEFT_HAND, to_body23


def poses(count=4, seed=0):
    keypoints = np.random.default_rng(seed).uniform(10, 90, (count, COUNT, 3)).astype(np.float32)
    keypoints[..., 2] /= 100
    keypoints[1:, 95:116] = 0
    keypoints[:, 3] = 0
    return keypoints


def people_file(folder, number, *people):
    value = [{"pose_keypoints_2d": np.asarray(body, float).ravel().tolist()} for body in people]
    path = folder / f"v_{number:012d}_keypoints.json"
    path.write_text(json.dumps({"version": 1.3, "people": value}))
    return path


def test_written_poses_come_back(tmp_path):
    keypoints = poses()
    keypoints[2] = 0
    write_openpose(tmp_path / "a", keypoints)
    assert len(list((tmp_path / "a").iterdir())) == 4
    track = read_poses(tmp_path / "a", np.arange(4) / 25, (100, 100))
    np.testing.assert_allclose(track.keypoints, keypoints, atol=1e-4)
    assert track.reasons == ("", "", "no person", "") and track.size == (100, 100)
    assert track.estimator["name"] == "OpenPose JSON"
    # What was not observed stays known.
    assert (track.keypoints[:, 3] == 0).all() and (track.keypoints[1, LEFT_HAND] == 0).all()


def test_layouts(tmp_path):
    body = poses(1)[0, :25]
    for number, count in enumerate((25, 23, 18)):
        people_file(tmp_path, number, body[:count])
    keypoints = read_openpose(tmp_path).keypoints
    np.testing.assert_allclose(keypoints[0, :25], body, atol=1e-4)
    np.testing.assert_allclose(to_body23(keypoints[1])[:3], body[:3], atol=1e-4)
    np.testing.assert_allclose(keypoints[2, 9], body[8], atol=1e-4)


def test_real_files(shared):
    folder = shared / "data" / "openpose"
    signing = read_poses(folder / "sign9", np.arange(9) / 24, (720, 1280))
    assert signing.found.all()
    # First file: nose and neck as written; hips not found, so no legs.
    assert signing.keypoints[0, 0] == pytest.approx([627.385, 245.392, 0.816087])
    assert signing.keypoints[0, 1] == pytest.approx([633.285, 362.953, 0.67072], rel=1e-4)
    assert (signing.keypoints[:, 9:15] == 0).all()
    assert (signing.keypoints[:, 25:95, 2] > 0).mean() > 0.9
    long = read_poses(folder / "sign93", np.arange(93) / 24, (270, 320))
    left = (long.keypoints[:, LEFT_HAND, 2] > 0).any(1).mean()
    assert 0.3 < left < 0.8
    body_only = read_poses(folder / "linguistik", np.arange(176) / 25, (480, 640))
    assert body_only.found.all() and (body_only.keypoints[:, 25:] == 0).all()
    picture = draw_edn(signing.keypoints[0])
    assert (picture < 255).any(-1).mean() > 0.005
    with pytest.raises(UserError, match="93.*94"):
        read_poses(folder / "sign93", np.arange(94) / 24, (270, 320))
    # Poses of the 1280x720 video given for a small one.
    with pytest.raises(UserError, match="sign9.*outside.*128x72"):
        read_poses(folder / "sign9", np.arange(9) / 24, (72, 128))


def yml(name, values):
    values = np.asarray(values, np.float32)
    # Lines are wrapped as OpenCV does.
    numbers = ", ".join(f"{v:.8e}" if v % 1 else f"{v:.0f}." for v in values.ravel())
    numbers = numbers.replace(", ", ",\n       ", 3)
    return (
        f"%YAML:1.0\n---\n{name}_0: !!opencv-nd-matrix\n"
        f"   sizes: [ {', '.join(map(str, values.shape))} ]\n   dt: f\n   data: [ {numbers} ]\n"
    )


def write_yml(folder, base, body, **parts):
    (folder / f"{base}_pose.yml").write_text(yml("pose", body))
    for part, values in parts.items():
        (folder / f"{base}_{part}.yml").write_text(yml(part, values))


def test_edn_yml(tmp_path):
    keypoints = poses(3)
    for number, pose in enumerate(keypoints):
        # Numbered in steps, as the published sample data.
        write_yml(
            tmp_path,
            f"frame{20001 + 4 * number}",
            to_body23(pose)[None],
            face=pose[None, 25:95],
            hand_left=pose[None, 95:116],
            hand_right=pose[None, 116:],
        )
    result = read_poses(tmp_path, np.arange(3), (100, 100)).keypoints
    np.testing.assert_allclose(to_body23(result), to_body23(keypoints), rtol=1e-6)
    np.testing.assert_allclose(result[:, 25:], keypoints[:, 25:], rtol=1e-6)
    assert (result[:, [21, 24]] == 0).all()
    (tmp_path / "frame20005_face.yml").unlink()
    with pytest.raises(UserError, match="frame20005_face.yml.*missing"):
        read_edn_yml(tmp_path)
    (tmp_path / "frame20005_face.yml").write_text("%YAML:1.0\nface_0: !!opencv-nd-matrix\n")
    with pytest.raises(UserError, match="frame20005_face.yml.*malformed"):
        read_edn_yml(tmp_path)


def test_edn_yml_nobody(tmp_path):
    write_yml(tmp_path, "a1", np.zeros((1, 23, 3)))
    (tmp_path / "a2_pose.yml").write_text(
        "%YAML:1.0\npose_0: !!opencv-nd-matrix\n   sizes: [ 0 ]\n   dt: f\n   data: [ ]\n"
    )
    assert read_edn_yml(tmp_path).reasons == ("no person", "no person")


def crossing(count=20):
    """Two people who walk past each other at different heights: [count, 25, 3] each."""
    one = np.random.default_rng(1).uniform(0, 20, (25, 3)) + [10, 40, 1]
    two = np.random.default_rng(2).uniform(0, 12, (25, 3)) + [80, 5, 1]
    one[:, 2] = two[:, 2] = 0.8
    ahead = np.arange(count)[:, None, None] * np.array([3, 0, 0])
    return (one + ahead).astype(np.float32), (two - ahead).astype(np.float32)


def test_one_of_several_is_followed(tmp_path):
    large, small = crossing()
    rng = np.random.default_rng(0)
    for number in range(20):
        people = [large[number], small[number]]
        if number == 6:
            people = [small[number]]
        rng.shuffle(people)
        people_file(tmp_path, number, *people)

    def chosen(person):
        return read_openpose(tmp_path, person=person)

    result = chosen("largest")
    seen = np.arange(20) != 6
    np.testing.assert_allclose(result.keypoints[seen, :25], large[seen], atol=1e-4)
    # Where the followed person is missing there is nobody, not somebody else.
    assert result.reasons[6] == "lost" and (result.keypoints[6] == 0).all()
    for person in ("rightmost", "2"):
        np.testing.assert_allclose(chosen(person).keypoints[:, :25], small, atol=1e-4)
    np.testing.assert_array_equal(chosen("1").keypoints, chosen("leftmost").keypoints)
    with pytest.raises(UserError, match="person 3 is not in .*2 people"):
        chosen("3")
    with pytest.raises(UserError, match="person tallest"):
        chosen("tallest")


def test_a_guess_who_is_who_follows_nobody(tmp_path):
    """Two people in the same pose at the same place: from there on it is a guess."""
    large, small = crossing()
    for number in range(12):
        other = small[number] if number < 6 else large[number] + [0.3, 0, 0]
        people_file(tmp_path, number, large[number], other)
    reasons = read_openpose(tmp_path, person="leftmost").reasons
    assert reasons[:6] == ("",) * 6 and reasons[6] == "lost"


def test_bad_files_are_named(tmp_path):
    def refused(match):
        with pytest.raises(UserError, match=match) as error:
            read_poses(tmp_path / "p", np.arange(4), (100, 100))
        assert str(error.value).count("\n") == 0

    refused("no folder of poses .*p; give")
    (tmp_path / "p").mkdir()
    refused("neither")
    write_openpose(tmp_path / "p", poses(), name="a")
    file = tmp_path / "p" / "a_000000000002_keypoints.json"
    good = file.read_text()
    for bad, what in (
        ("{", "no readable JSON"),
        ("[]", '"people"'),
        ('{"people": [3]}', '"people"'),
        ('{"people": [{"pose_keypoints_2d": [1, 2, "x"]}]}', "no list of numbers"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3, 4]}]}', "triples"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, NaN]}]}', "finite"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "has 1 points"),
        ('{"people": [{"face_keypoints_2d": [1, 2, 3]}]}', "1 points instead of 70"),
        ("\udcff", "JSON"),
    ):
        file.write_bytes(bad.encode(errors="surrogateescape"))
        refused(f"(?s){file.name}.*{what}|{what}.*{file.name}")
    file.unlink()
    refused("hole.*number 2 is missing|3 frames and the video has 4")
    write_openpose(tmp_path / "p", poses(5), name="a")
    refused("has 5 frames and the video has 4")
    file.unlink()
    refused("hole.*a_000000000001.*a_000000000003.*number 2 is missing")
    file.write_text(good)
    write_openpose(tmp_path / "p", poses(2), name="b")
    refused("more than one sequence")
    write_yml(tmp_path / "p", "a1", np.zeros((1, 23, 3)))
    refused("holds both")


def test_shares_of_the_frame_are_refused(tmp_path):
    write_openpose(tmp_path, poses() * np.array([0.01, 0.01, 1]))
    with pytest.raises(UserError, match="keypoint_scale"):
        read_poses(tmp_path, np.arange(4), (100, 100))


def test_first_openpose_version(tmp_path):
    body = poses(1)[0, :18]
    (tmp_path / "x_keypoints.json").write_text(
        json.dumps({"version": 1.0, "people": [{"pose_keypoints": body.ravel().tolist()}]})
    )
    np.testing.assert_allclose(read_openpose(tmp_path, 1).keypoints[0, :3], body[:3], atol=1e-4)
