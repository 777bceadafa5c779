"""Pictures in frames of other proportions, and where they are then; damaged ones among many."""

import numpy as np
import pytest
from PIL import Image

from motion_jax.data import import_data as module
from motion_jax.data import import_shards, records
from motion_jax.data.crop import cut_out, whole
from motion_jax.data.fitting import in_frame, place
from motion_jax.data.import_options import ImportOptions
from motion_jax.data.info import DatasetInfo
from motion_jax.errors import UserError

BILINEAR = Image.Resampling.BILINEAR


@pytest.mark.parametrize("source", [(40, 20), (20, 40), (30, 30), (33, 47)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_pictures_and_points_stay_together(source, fit):
    """A spot of the picture is where the point that marks it goes."""
    rows, columns = source
    placed = place(source, (64, 64), fit)
    pixels = np.full((rows, columns, 3), 200, np.uint8)
    y, x = rows // 2 - 2, columns // 2 + 3
    pixels[y, x] = 0
    found = np.asarray(placed.picture(Image.fromarray(pixels), BILINEAR, (7, 8, 9)))
    assert found.shape == (64, 64, 3)
    top, left, bottom, right = placed.content
    inside = np.zeros((64, 64), bool)
    inside[top:bottom, left:right] = True
    assert (found[~inside] == (7, 8, 9)).all() and not (found[inside] == (7, 8, 9)).all(-1).any()
    assert fit == "letterbox" or inside.all()
    if fit != "stretch":
        x0, y0, x1, y1 = placed.part
        scales = (bottom - top) / (y1 - y0), (right - left) / (x1 - x0)
        assert scales[0] == pytest.approx(scales[1], rel=0.03)
    point = placed.points(np.array([[x + 0.5, y + 0.5, 1], [3, 4, 0]]))
    dark = (200 - found[..., 0].astype(float)) * inside
    middle = [(dark * (axis + 0.5)).sum() / dark.sum() for axis in np.mgrid[0:64, 0:64]]
    np.testing.assert_allclose(point[0, :2], middle[::-1], atol=0.6)
    assert not point[1].any(), "what was not observed stays so"


def test_boxes_in_a_runs_pictures():
    assert in_frame((8, 0, 24, 32), (32, 32), (32, 32)) == (8, 0, 24, 32)
    assert in_frame((9, 0, 23, 32), (32, 32), (16, 16)) == (5, 0, 11, 16), "whole pixels inside"
    assert in_frame((4, 0, 60, 64), (64, 64), (32, 32), crop=True) == (0, 0, 32, 32)
    assert in_frame((20, 0, 44, 64), (64, 64), (32, 32), crop=True) == (4, 0, 28, 32)


@pytest.mark.parametrize("source", [(45, 80), (80, 45), (48, 48), (50, 33)])
def test_what_prepare_letterboxed_is_known_too(source):
    """By the region that it writes down: only the picture lies in the box, and all but its edge."""
    region = whole(*source, 32, 32)
    frame = cut_out(np.full((*source, 3), 255, np.uint8), region, 32, 32)
    entry = {"fit": "letterbox", "height": source[0], "width": source[1]}
    info = DatasetInfo(32, 32, ((0, 0, 0, 3),), (entry | {"crop": region.to_json()},))
    assert "content" not in info.to_json() and len(info.contents) == 3
    top, left, bottom, right = info.contents[0]
    assert frame[top:bottom, left:right].min() > 250
    outside = frame[..., 0].astype(float) / 255
    outside[top:bottom, left:right] = 0
    assert outside.sum() < 2.1 * 32, "less than a row at each side"
    squashed = DatasetInfo(32, 32, info.clips, (entry | {"fit": "squash"},))
    assert squashed.one_content is None
    again = DatasetInfo.from_json(info.to_json())
    assert again.one_content == info.one_content


def test_one_damaged_picture_in_a_folder_of_a_domain(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(import_shards, "run_jobs", lambda job, inputs, *_: [*map(job, inputs)])
    monkeypatch.setattr(import_shards, "advance", lambda count=1: None)
    monkeypatch.setattr(module, "pool", lambda *_: __import__("contextlib").nullcontext())
    for folder, count in (("trainA", 200), ("trainB", 150)):
        (tmp_path / "zoo" / folder).mkdir(parents=True)
        for n in range(count):
            picture = np.full((16, 16, 3), n, np.uint8)
            Image.fromarray(picture).save(tmp_path / "zoo" / folder / f"horse {n}.jpg")
    bad = tmp_path / "zoo/trainB/horse 77.jpg"
    bad.write_bytes(bad.read_bytes()[:-200])
    options = {"source": tmp_path / "zoo", "workers": 1}
    with pytest.raises(UserError, match=r"trainB/horse 77\.jpg is damaged.*corrupt skip"):
        module.import_data(ImportOptions(out=tmp_path / "stop", **options))
    assert not records.is_dataset(tmp_path / "stop")
    module.import_data(ImportOptions(out=tmp_path / "data", corrupt="skip", **options))
    said = capsys.readouterr().err
    assert "349 pictures" in said and "1 damaged left out (trainB/horse 77.jpg)" in said
    data = records.open_dataset(tmp_path / "data")
    assert data.info.detection["skipped"] == ["trainB/horse 77.jpg"]
    assert [source["kept"] for source in data.info.sources] == [200, 149]
