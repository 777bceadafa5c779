"""Random smooth deformations of pictures: an affine map and a thin-plate spline, as the
equivariance losses of the First Order Motion Model draw them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax.devices import layout
from motion_jax.nets import sampling


@struct.dataclass
class Deformation:
    """One deformation for each of n pictures.

    Attributes:
      affine: the map z -> A z + b as [A b], float32 [n, 2, 3].
      control: weights of the thin plate at points x points places on a regular grid, float32
        [n, points * points]; None: none.
    """

    affine: Any
    control: Any = None

    def warp(self, z: Float[Array, "n p 2"]) -> Float[Array, "n p 2"]:
        """Coordinates, deformed.

        The plate's bend is the sum of c_j r_j^2 log(r_j + 1e-6), r_j the sum of the absolute
        differences of both coordinates, and the same amount is added to x and to y: as the
        published code has it.
        """
        linear, offset = self.affine[:, None, :, :2], self.affine[:, None, :, 2]
        x, y = z[..., 0], z[..., 1]
        moved = linear[..., 0] * x[..., None] + linear[..., 1] * y[..., None] + offset
        if self.control is None:
            return moved
        points = round(self.control.shape[1] ** 0.5)
        places = jnp.asarray(sampling.coordinate_grid(points, points)).reshape(1, 1, -1, 2)
        far = jnp.abs(z[:, :, None] - places).sum(axis=-1)
        bend = jnp.square(far) * jnp.log(far + 1e-6) * self.control[:, None]
        return moved + bend.sum(axis=-1, keepdims=True)

    def jacobian(self, z: Float[Array, "n p 2"]) -> Float[Array, "n p 2 2"]:
        """The derivatives of `warp` at coordinates, [..., i, j] that of component i by j;
        differentiable."""
        columns = []
        for axis in (0, 1):
            along = jnp.zeros_like(z).at[..., axis].set(1)
            # Each result depends on its own coordinates alone.
            columns.append(jax.jvp(self.warp, (z,), (along,))[1])
        return jnp.stack(columns, axis=-1)

    def pictures(
        self, x: Float[Array, "n h w c"], *, align_corners: bool
    ) -> Float[Array, "n h w c"]:
        """Pictures, each pixel looked up where `warp` sends it, reflected at the rim."""
        n, h, w, _ = x.shape
        grid = jnp.asarray(sampling.coordinate_grid(h, w)).reshape(1, h * w, 2)
        where = self.warp(jnp.broadcast_to(grid, (n, h * w, 2)))
        return sampling.grid_sample(
            x, where.reshape(n, h, w, 2), align_corners=align_corners, padding="reflection"
        )


def drawn(
    key: Array, count: int, sigma_affine: float, sigma_tps: float | None, points_tps: int
) -> Deformation:
    """Random deformations: the affine map is the identity with N(0, sigma_affine^2) added to its
    six entries, the plate's weights are N(0, sigma_tps^2); sigma_tps None: no plate."""
    for_affine, for_plate = jax.random.split(key)
    noise = layout.drawn(lambda shape: jax.random.normal(for_affine, shape), (count, 2, 3))
    affine = jnp.eye(2, 3) + sigma_affine * noise
    if sigma_tps is None:
        return Deformation(affine)
    shape = (count, points_tps**2)
    noise = layout.drawn(lambda shape: jax.random.normal(for_plate, shape), shape)
    return Deformation(affine, sigma_tps * noise)
