import numpy as np
import pytest
from scipy.ndimage import correlate1d

from motion_jax.metrics import frames as metrics


def frames(count=3, height=40, width=28, seed=0):
    """Smooth random pictures and noisy copies of them."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(count, height, width, 3))
    for axis in (1, 2):
        smooth = correlate1d(smooth, np.ones(9) / 9, axis=axis, mode="reflect")
    real = np.clip(128 + 400 * smooth, 0, 255)
    fake = np.clip(real + rng.normal(size=real.shape) * 15 + 5, 0, 255)
    return real.astype(np.uint8), fake.astype(np.uint8)


def oracle_map(a, b, size=11):
    """SSIM map of two float64 [H, W] pictures, from the paper's formulas."""
    offsets = np.arange(size) - size // 2
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x):
        x = correlate1d(correlate1d(x, window, axis=0), window, axis=1)
        edge = size // 2
        return x[edge : x.shape[0] - edge, edge : x.shape[1] - edge]

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    c1, c2 = 6.5025, 58.5225
    return (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))


def oracle_maps(real, fake, size=11):
    return np.mean(
        [
            [oracle_map(r[..., c], f[..., c], size) for c in range(3)]
            for r, f in zip(real.astype(np.float64), fake.astype(np.float64), strict=True)
        ],
        axis=1,
    )


def oracle_psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))


def test_frame_scores_against_the_formulas():
    real, fake = frames()
    body = np.array([[5, 4, 33, 20], [0, 0, 40, 28], [0, 0, 0, 0]], np.float32)
    face = np.array([[6, 8, 12, 14], [0, 0, 6, 6], [0, 0, 3, 3]], np.float32)
    scores = {k: np.asarray(v) for k, v in metrics.frame_scores(real, fake, body, face).items()}
    maps = oracle_maps(real, fake)
    for i in range(3):
        assert scores["psnr"][i] == pytest.approx(oracle_psnr(real[i], fake[i]), abs=1e-3)
        assert scores["ssim"][i] == pytest.approx(maps[i].mean(), abs=1e-5)
    assert scores["body_psnr"][0] == pytest.approx(
        oracle_psnr(real[0, 5:33, 4:20], fake[0, 5:33, 4:20]), abs=1e-3
    )
    assert scores["body_ssim"][0] == pytest.approx(maps[0, 0:28, 0:15].mean(), abs=1e-5)
    assert scores["body_ssim"][1] == pytest.approx(scores["ssim"][1], abs=1e-6)
    assert np.isnan(scores["body_psnr"][2]) and np.isnan(scores["body_ssim"][2])
    # A crop smaller than the window: windows centred in it, here just one of them.
    assert scores["face_ssim"][1] == pytest.approx(maps[1, 0, 0], abs=1e-5)
    # In the outermost five pixels no window has its centre.
    assert np.isnan(scores["face_ssim"][2]) and np.isfinite(scores["face_psnr"][2])
    assert np.allclose(metrics.psnr(real, fake), scores["psnr"], atol=1e-4)
    assert np.allclose(metrics.ssim(real, fake), scores["ssim"], atol=1e-6)


def test_equal_pictures_and_small_ones():
    real, fake = frames(1, 8, 30)
    assert metrics.window_size(8, 30) == 7 and metrics.window_size(11, 30) == 11
    assert float(metrics.ssim(real, fake)[0]) == pytest.approx(
        oracle_maps(real, fake, 7).mean(), abs=1e-5
    )
    assert float(metrics.psnr(real, real)[0]) == pytest.approx(100.0, abs=1e-3)
    assert float(metrics.ssim(real, real)[0]) == pytest.approx(1.0, abs=1e-6)


def test_flicker_counts_only_change_that_should_not_be():
    real, _ = frames(5, 16, 12)
    boxes = np.tile(np.array([0, 0, 16, 6], np.float32), (5, 1))
    still = np.clip(real.astype(int) + 7, 0, 255)
    meter = metrics.FlickerMeter(3)
    constant = np.full_like(real, 100)
    constant[1::2, :, 6:] += 10  # blinks outside the body
    first = meter.feed(constant[:3], constant[:3], boxes[:3])
    assert np.isnan(first["flicker"][0]) and (first["flicker"][1:] == 0).all()
    meter.reset()
    steady = np.full_like(real, 100)
    parts = [meter.feed(steady[a:b], constant[a:b], boxes[a:b]) for a, b in ((0, 3), (3, 5))]
    whole = np.concatenate([part["flicker"] for part in parts])
    assert np.isnan(whole[0]) and np.allclose(whole[1:], 5.0)
    background = np.concatenate([part["background_flicker"] for part in parts])
    assert np.allclose(background[1:], 10.0)
    offset = np.asarray(metrics.flicker(real[:4] // 2, still[:4] // 2, boxes[:4])["flicker"])
    assert offset.max() < 1.0  # a constant offset (up to rounding) is no flicker


def test_body_boxes_have_a_margin_and_stay_inside():
    keypoints = np.zeros((3, 137, 3), np.float32)
    keypoints[0, 0] = (10, 20, 1)
    keypoints[0, 4] = (30, 60, 0.5)
    keypoints[0, 9] = (500, 500, 0)  # not observed
    keypoints[1, 100] = (-5, 10, 1)
    keypoints[1, 101] = (25, 90, 1)
    assert metrics.body_boxes(keypoints, 64, 48).tolist() == [
        [16, 6, 64, 34],
        [2, 0, 64, 33],
        [0, 0, 0, 0],
    ]


def test_pose_distance_and_missed_joints(unchecked):
    true = np.zeros((2, 137, 3), np.float32)
    true[:, :4] = (10, 10, 1)
    true[:, 30] = (5, 5, 1)
    found = true.copy()
    found[0, 0, :2] += (3, 4)
    found[0, 1] = 0
    found[0, 2, 2] = 0.05  # too faint to count
    found[0, 120] = (1, 1, 1)  # not in the true picture: neither distance nor missed
    result = metrics.pose_distance(true, found)
    assert result["pose_distance_body"].tolist() == [2.5, 0.0]
    assert result["missed_body"].tolist() == [2, 0]
    assert result["pose_distance_all"][0] == pytest.approx(5 / 3)
    assert np.isnan(result["pose_distance_hands"]).all()
    assert metrics.means(result)["pose_distance_hands"] is None
    assert metrics.means(result)["missed_all"] == 1.0
    with pytest.raises(ValueError, match="shapes"):
        metrics.pose_distance(true, found[:1])
