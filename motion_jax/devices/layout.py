"""How the program that is being traced is laid over devices, for the few parts that must know.

A train step is written for a whole batch of whole pictures, and the compiler's partitioner shares
it among the devices of a mesh. What the partitioner shares badly (drawing poses one ellipse after
the other, crops at places that only the data tell) says itself, inside `over`, what each device
does. The convolutions have a file of their own: nets/spatial.py.

Where a step is mapped over the devices instead (`mapped`: train/pmap_step.py) each traces it for
its own share of the batch; what needs all of the batch says so with `batch_mean` and the functions
after it, which do nothing elsewhere.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import Array
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Shaped

_mesh: contextvars.ContextVar[Mesh | AbstractMesh | None] = contextvars.ContextVar(
    "mesh", default=None
)
_mapped: contextvars.ContextVar[tuple[str, int] | None] = contextvars.ContextVar(
    "mapped", default=None
)

# Of what lies over "data" alone, by its first axis.
BATCH = P("data")


@contextlib.contextmanager
def over(mesh: Mesh | AbstractMesh) -> Iterator[None]:
    """Traces the block for a batch that lies over the mesh's axis "data", with the rows of its
    pictures over "space"."""
    token = _mesh.set(mesh)
    try:
        yield
    finally:
        _mesh.reset(token)


def rows(ndim: int) -> P:
    """Of pictures [B, ..., H, W, C] with so many axes."""
    return P("data", *(None,) * (ndim - 4), "space")


def place() -> tuple[Array | int, int]:
    """Inside of `shared`: (which of the devices that share a picture this is, how many they are);
    (0, 1) elsewhere."""
    mesh = _mesh.get()
    if mesh is None:
        return 0, 1
    return jax.lax.axis_index("space"), mesh.shape["space"]


def row_shares() -> int:
    """How many devices share the rows of each picture."""
    mesh = _mesh.get()
    return 1 if mesh is None else mesh.shape["space"]


def shared(function: Callable[..., Any], inputs: tuple[P, ...], output: P) -> Callable[..., Any]:
    """The function, run by each device on its own share of the arguments; itself where nothing is
    shared."""
    mesh = _mesh.get()
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=output, check_vma=False)


def over_space(value: Any) -> Any:
    """Inside of `shared`: the sum over the devices that share a picture."""
    return value if place()[1] == 1 else jax.lax.psum(value, "space")


# --- mapped over shares of the batch -----------------------------------------------------------


@contextlib.contextmanager
def mapped(axis: str, count: int) -> Iterator[None]:
    """Traces the block for one of `count` equal shares of a batch, one for each device of a mapped
    axis. Losses are such that the mean of the shares' losses is that of the whole batch."""
    token = _mapped.set((axis, count))
    try:
        yield
    finally:
        _mapped.reset(token)


def shares() -> int:
    """Into how many shares the batch is divided: 1, or as `mapped` says."""
    found = _mapped.get()
    return found[1] if found else 1


def batch_mean(tree: Any) -> Any:
    """The mean over all shares of the batch; differentiable."""
    found = _mapped.get()
    return jax.lax.pmean(tree, found[0]) if found else tree


def whole_batch(x: Shaped[Array, "share ..."]) -> Shaped[Array, "batch ..."]:
    """The batch from the shares of its first axis."""
    found = _mapped.get()
    return jax.lax.all_gather(x, found[0], tiled=True) if found else x


def own_share(x: Array, axis: int = 0) -> Array:
    """The inverse of whole_batch; axis: that of the batch."""
    found = _mapped.get()
    if found is None:
        return x
    each = x.shape[axis] // found[1]
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(found[0]) * each, each, axis)


def drawn(draw: Callable[[tuple[int, ...]], Array], shape: tuple[int, ...], axis: int = 0) -> Array:
    """draw(shape), or where `shape` is that of a share, the share of what would be drawn for the
    whole batch; axis: that of the batch."""
    whole = tuple(size * shares() if i == axis else size for i, size in enumerate(shape))
    return own_share(draw(whole), axis)
