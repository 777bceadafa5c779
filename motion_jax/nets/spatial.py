"""Networks whose pictures are shared among devices by their height.

XLA's partitioner shares a convolution by itself, but exchanges seven times what a reflection-padded
one needs, and some of its gradients fail. So while a mesh is put in place with `over`, every
operation of conv.py that sees neighbouring rows runs in a shard_map of its own: it exchanges the
rows (halo.py), then calls its platform's form on the taller picture without padding it above or
below. Elementwise work between them, which needs nothing of other rows, is left to the partitioner.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from motion_jax.errors import UserError
from motion_jax.nets.halo import AXIS, Pieces, Reach, Uneven, own_rows, pieces, returned
from motion_jax.nets.packed import Packed, of, wrapped

Picture = Array | Packed | Uneven
Form = Callable[..., Any]  # (picture, kernel) -> picture


@dataclass(frozen=True)
class _Over:
    mesh: Mesh | AbstractMesh
    stage: str


_current: contextvars.ContextVar[_Over | None] = contextvars.ContextVar("over", default=None)


@contextlib.contextmanager
def over(mesh: Mesh | AbstractMesh, stage: str = "") -> Iterator[None]:
    """Traces the block for pictures whose batch is shared along the mesh's axis "data" and whose
    height along "space". stage: for messages.

    In the block, a convolution with reflection padding raises UserError where its picture's height
    cannot be shared evenly or is too low for what neighbours need. Other operations are then
    computed whole by every device of "space".
    """
    token = _current.set(_Over(mesh, stage))
    try:
        yield
    finally:
        _current.reset(token)


def mesh() -> Mesh | AbstractMesh:
    """The mesh of the innermost `over`; only to be called inside one."""
    found = _current.get()
    assert found is not None, "outside of `over`"
    return found.mesh


def shards() -> int:
    """Devices that share a picture; 1 where pictures are whole, as they usually are."""
    return mesh().shape[AXIS] if _current.get() else 1


def batch_axis(mesh: Mesh | AbstractMesh, pictures: int) -> str | None:
    """The axis that shares a batch of so many pictures; None where it cannot evenly."""
    return "data" if pictures % mesh.shape["data"] == 0 else None


def blocks_of(x: Picture) -> Array:
    """The array that a picture consists of."""
    return x.blocks if isinstance(x, Uneven) else of(x)[0]


def whole(x: Picture) -> Array | Packed:
    """A picture with its height on every device of "space"; Uneven ones become arrays."""
    if shards() == 1:
        assert not isinstance(x, Uneven), "outside of `over`"
        return x
    over_mesh = mesh()

    def gathered(blocks: Array) -> Array:
        if isinstance(over_mesh, AbstractMesh):
            return blocks
        axis = batch_axis(over_mesh, blocks.shape[0])
        return lax.with_sharding_constraint(blocks, NamedSharding(over_mesh, P(axis)))

    x = jax.tree.map(gathered, x)
    if not isinstance(x, Uneven):
        return x
    blocks, (n, h, w, c) = x.blocks, x.shape
    if x.extra < 0:
        return blocks[:, :h]
    each = blocks.reshape(n, x.shards, -1, w, c)
    main = each[:, :, : x.rows].reshape(n, -1, w, c)
    return jnp.concatenate([main, each[:, -1, x.rows :]], axis=1)


def placed(x: Picture, mesh: Mesh | AbstractMesh) -> P:
    """How the array of a picture is shared: its batch along "data", its rows along "space"."""
    return P(batch_axis(mesh, x.shape[0]), AXIS)


def everywhere(
    mesh: Mesh | AbstractMesh, function: Callable[..., Any], inputs: Any, outputs: Any
) -> Callable[..., Any]:
    """function on every device's parts; inputs, outputs: specs of its arguments and results.

    Callers write out their gradients, with the sums over devices in them. So JAX need not follow
    what varies from device to device; that check wrongly refuses loops of conv_cpu.py.
    """
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


def shared(x: Picture, kernel: Any, form: Form, plain: Form, reach: Reach, rows: int) -> Any:
    """An operation on a picture in any form, whose height is shared among the devices of `mesh()`.

    form: the operation on a device's part, which is already extended as `reach` says and must not
    be padded; plain: the operation on a whole picture. rows: of the result. kernel: may be None.
    """
    count = shards()
    height, extra = x.shape[1], x.extra if isinstance(x, Uneven) else 0
    own = (height - extra) // count
    if own * count + extra != height or own % reach.down or own < reach.least:
        if reach.border == "reflect":
            raise _too_low(reach, height, count)
        return _by_each(whole(x), kernel, plain)
    given = rows - count * (own * reach.up // reach.down)
    tail = reach.below + reach.down * max(given, 0)
    spec, run = placed(x, mesh()), partial(everywhere, mesh())
    factor = x.factor if isinstance(x, Packed) else 1

    def form_of(parts: Pieces, kernel: Any) -> Array | Packed:
        rows = jnp.concatenate([part for part in parts if part is not None], axis=1)
        return form(wrapped(rows, factor), kernel)

    def forward(x: Array, kernel: Any) -> tuple[Any, tuple[Any, Any]]:
        above, here, below = pieces(x, reach, count, extra, tail)
        return form_of((above, here, below), kernel), (above, below)

    def backward(x: Array, near: tuple[Any, Any], kernel: Any, dy: Any) -> tuple[Array, Any]:
        # What the neighbours sent is kept, so it is not sent twice.
        (above, below), here = near, own_rows(x, count, extra)
        gradients, by_kernel = jax.vjp(form_of, (above, here, below), kernel)[1](dy)
        return returned(gradients, reach, count, extra), _summed(by_kernel, spec)

    @jax.custom_vjp
    def operation(x: Array, kernel: Any) -> Any:
        return run(lambda x, kernel: forward(x, kernel)[0], (spec, P()), spec)(x, kernel)

    def saved(x: Array, kernel: Any) -> tuple[Any, tuple[Any, ...]]:
        y, near = run(forward, (spec, P()), (spec, spec))(x, kernel)
        return y, (x, near, kernel)

    def pulled(kept: tuple[Any, ...], dy: Any) -> tuple[Array, Any]:
        x, near, kernel = kept
        outputs = spec, P()
        return run(backward, (spec, spec, P(), spec), outputs)(x, near, kernel, dy)

    operation.defvjp(saved, pulled)
    y = operation(blocks_of(x), kernel)
    return Uneven(y, count, given) if given else y


def _summed(gradient: Any, spec: P) -> Any:
    """A kernel's gradient, summed over the devices that share pictures: one sum for both axes."""
    axes = tuple(axis for axis in spec if axis)
    return jax.tree.map(lambda g: lax.psum(g, axes), gradient) if axes else gradient


def _by_each(x: Array | Packed, kernel: Any, plain: Form) -> Array | Packed:
    """An operation on pictures too low to be shared, computed whole by every device of "space".

    In a shard_map too: XLA's partitioner would share them again and exchange more than that saves.
    """
    spec, run = P(batch_axis(mesh(), x.shape[0])), partial(everywhere, mesh())

    @jax.custom_vjp
    def operation(x: Array | Packed, kernel: Any) -> Array | Packed:
        return run(plain, (spec, P()), spec)(x, kernel)

    def backward(x: Array | Packed, kernel: Any, dy: Any) -> tuple[Array | Packed, Any]:
        dx, by_kernel = jax.vjp(plain, x, kernel)[1](dy)
        return dx, _summed(by_kernel, spec)

    def pulled(kept: tuple[Array | Packed, Any], dy: Any) -> tuple[Array | Packed, Any]:
        return run(backward, (spec, P(), spec), (spec, P()))(*kept, dy)

    operation.defvjp(lambda x, kernel: (operation(x, kernel), (x, kernel)), pulled)
    return operation(x, kernel)


def _too_low(reach: Reach, height: int, count: int) -> UserError:
    found = _current.get()
    stage = found.stage if found else ""
    divisors = [s for s in range(1, count) if count % s == 0 and height % s == 0]
    fit = max((s for s in divisors if height // s >= reach.least), default=1)
    return UserError(
        f"{f'Stage {stage}: a' if stage else 'A'} {reach.name} of {height} rows cannot be shared "
        f"among devices.space = {count}, since each shard needs {reach.least} rows or more and all "
        f"the same number; use devices.space = {fit}"
        + (" (no sharing)" if fit == 1 else "")
        + " or higher pictures."
    )
