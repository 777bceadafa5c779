"""What the First Order Motion Model is made of, against plain definitions; the published networks'
own numbers are in test_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from motion_jax.nets import keypoints, sampling, thin_plate
from motion_jax.nets.conv import target_platform
from motion_jax.nets.keypoints import Keypoints


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "reflection"])
def test_gradients_of_lookups_are_those_of_finite_differences(align_corners, padding):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(1, 4, 5, 2)), jnp.float32)
    # Away from pixel centres, where bilinear lookups have kinks.
    grid = jnp.asarray(random.uniform(-1.3, 1.3, (1, 6, 2)), jnp.float32)

    def total(x, grid):
        found = sampling.grid_sample(x, grid, align_corners=align_corners, padding=padding)
        return jnp.sum(jnp.square(found))

    by_x, by_grid = jax.jit(jax.grad(total, argnums=(0, 1)))(x, grid)
    run = jax.jit(total)
    for i in range(6):
        step = np.zeros((1, 6, 2), np.float32)
        step[0, i] = 1e-3, 0
        numeric = (run(x, grid + step) - run(x, grid - step)) / 2e-3
        assert by_grid[0, i, 0] == pytest.approx(float(numeric), abs=0.05, rel=0.05)
    step = np.zeros(x.shape, np.float32)
    step[0, 1, 2, 0] = 1e-2
    numeric = (run(x + step, grid) - run(x - step, grid)) / 2e-2
    assert by_x[0, 1, 2, 0] == pytest.approx(float(numeric), abs=1e-2)


@pytest.mark.parametrize("channels, padding", [(3, "reflection"), (16, "zeros")])
def test_lookups_by_products_are_those_by_gathers(channels, padding):
    """Values and both gradients, at pixels' own places too."""
    random = np.random.default_rng(0)
    x, by = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 5, 6, 3), (2, 200, 3)))
    x, by = (jnp.pad(each, ((0, 0),) * (each.ndim - 1) + ((0, channels - 3),)) for each in (x, by))
    grid = random.uniform(-1.4, 1.4, (2, 200, 2)).astype(np.float32)
    grid[:, :30] = sampling.coordinate_grid(5, 6).reshape(30, 2)
    found = []
    for platform in ("cpu", "tpu"):

        def looked_up(x, grid, platform=platform):
            with target_platform(platform):
                return sampling.grid_sample(x, grid, align_corners=True, padding=padding)

        made, back = jax.vjp(looked_up, x, jnp.asarray(grid))
        found.append((made, *back(by)))
    for gathers, products in zip(*found, strict=True):
        np.testing.assert_allclose(products, gathers, atol=1e-5)


def test_the_identity_is_itself_only_with_aligned_corners():
    x = jnp.asarray(np.random.default_rng(0).random((1, 5, 7, 3)), jnp.float32)
    grid = jnp.asarray(sampling.coordinate_grid(5, 7))[None]
    same = sampling.grid_sample(x, grid, align_corners=True)
    np.testing.assert_allclose(same, x, atol=1e-5)
    assert np.abs(sampling.grid_sample(x, grid, align_corners=False) - x).max() > 0.1


def test_a_collapsed_jacobian_stays_bounded():
    """Values and gradients are finite where torch.inverse has none."""
    maps = jnp.asarray([[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1e-9, 0], [0, 1]], [[2, 0], [0, 3]]])
    maps = maps.astype(jnp.float32)
    found = keypoints.inverse(maps)
    limit = np.abs(maps).max(axis=(1, 2), keepdims=True) / keypoints.LEAST_DETERMINANT
    assert (np.abs(found) <= limit * (1 + 1e-6)).all()
    np.testing.assert_allclose(found[3], [[0.5, 0], [0, 1 / 3]], rtol=1e-6)

    def away(jacobian):
        points = Keypoints(jnp.zeros((1, 4, 2)), jacobian[None])
        motions = keypoints.sparse_motions(points, points, 3, 3)
        return jnp.sum(jnp.square(motions))

    gradient = jax.grad(away)(maps)
    assert np.isfinite(gradient).all() and np.isfinite(away(maps))


def test_areas_of_hulls():
    """Of many: a compiler that joins products and sums rounds them otherwise, and took edges of
    most of these for none."""
    random = np.random.default_rng(0)
    for count in (3, 4, 10):
        points = random.uniform(-0.5, 0.5, (400, count, 2)).astype(np.float32)
        true = [ConvexHull(each.astype(np.float64)).volume for each in points]
        np.testing.assert_allclose(jax.jit(jax.vmap(keypoints.hull_area))(points), true, rtol=1e-4)
    area = jax.jit(keypoints.hull_area)
    for each, expected in zip(points[:20], true, strict=False):
        assert float(area(each)) == pytest.approx(expected, rel=1e-4)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    assert float(area(square)) == pytest.approx(1.0)
    # Points on its sides and in it are no corners.
    more = np.concatenate([square, [[0.5, 0], [0.25, 0], [1, 0.3], [0.5, 0.5]]]).astype(np.float32)
    assert float(area(more)) == pytest.approx(1.0)
    line = np.array([[0, 0], [1, 1], [2, 2], [0.5, 0.5]], np.float32)
    assert float(area(line)) == pytest.approx(0.0, abs=1e-6)


def test_the_derivative_of_a_deformation_is_that_of_finite_differences():
    change = thin_plate.drawn(jax.random.key(0), 2, 0.05, 0.05, 5)
    z = jnp.asarray(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3, 2)), jnp.float32)
    found = change.jacobian(z)
    for axis in (0, 1):
        step = jnp.zeros(2).at[axis].set(1e-3)
        numeric = (change.warp(z + step) - change.warp(z - step)) / 2e-3
        np.testing.assert_allclose(found[..., axis], numeric, atol=5e-3)
