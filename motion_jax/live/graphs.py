"""Generators run by OpenVINO or ONNX Runtime, within our own programs.

A run's program draws the pose, crops the face, lays the person over the plate; where it calls a
generator, the other runtime is called instead, with the same weights. So every recipe whose
generators have an ONNX form runs this way, and none needs to know of it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Float32

from motion_jax.errors import UserError, option
from motion_jax.port import onnx, openvino
from motion_jax.train.run import Run

Runtime = Literal["jax", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]
# Packages by runtime.
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
# Calls by which runtimes are compared, after one that warms up.
TRIES = 5

Call = Callable[[Float32[np.ndarray, "1 h w i"]], Float32[np.ndarray, "1 h w o"]]


def installed() -> list[Runtime]:
    """The runtimes on this machine; of those that need it, where the onnx package is there."""
    found: list[Runtime] = ["jax"]
    if find_spec("onnx") is None:
        return found
    return found + [name for name in get_args(Runtime)[1:] if find_spec(PACKAGES[name])]


def session(
    name: Runtime, model: bytes | Path, shape: tuple[int, ...], precision: Precision = "float32"
) -> Call:
    """Runs a model of one input of this shape and one output: an ONNX graph, or for int8 the file
    of an OpenVINO model.

    Raises UserError where the runtime is not installed, or cannot compute so.
    """
    try:
        if name == "openvino":
            return _openvino(model, shape, precision)
        if precision != "float32" or isinstance(model, Path):
            raise UserError(
                f"{option('precision')} {precision} is for OpenVINO; ONNX Runtime computes float32."
            )
        return _onnxruntime(model)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{option('runtime')} {name} needs the package {error.name}: pip install "
            "'motion-jax[live]'."
        ) from error


def _openvino(model: bytes | Path, shape: tuple[int, ...], precision: str) -> Call:
    package = openvino.openvino_package()
    network = openvino.read(model)
    network.reshape(package.PartialShape(list(shape)))
    # bfloat16 is OpenVINO's own choice on processors that have it: it must be said.
    kind = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
    request = package.Core().compile_model(network, "CPU", hints).create_infer_request()

    def call(x: np.ndarray) -> np.ndarray:
        return np.array(request.infer([x], share_inputs=True, share_outputs=True)[0])

    return call


def _onnxruntime(model: bytes) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Idle threads that spin would take the processor from the poses.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name

    def call(x: np.ndarray) -> np.ndarray:
        return made.run(None, {name: x})[0]

    return call


@dataclass
class _Network:
    """A generator of a run as a graph, with its sessions by the shape of its input."""

    name: str
    module: Any  # a generator: it has output_nc
    model: bytes | Path
    sessions: dict[tuple[int, ...], Call] = field(default_factory=dict)


class Elsewhere:
    """A run's generators in another runtime: `around` for its Synthesizer.

    Args:
      models: files of OpenVINO models to take in place of the run's own graphs, by network name.
      tap: is told what each generator is shown, by network name.

    Raises UserError where a generator has no ONNX form.
    """

    def __init__(
        self,
        run: Run,
        name: Runtime,
        precision: Precision = "float32",
        models: Mapping[str, Path] | None = None,
        tap: Callable[[str, np.ndarray], None] | None = None,
    ):
        self._name, self._precision, self._tap = name, precision, tap
        modules = run.config.recipe.tested_modules(run.stage)
        networks = run.config.recipe.networks(run.stage)
        self._networks = []
        for network, params in run.params.items():
            if networks[network].role == "generator":
                model: Any = (models or {}).get(network)
                if model is None:
                    model = graph(modules[network], params, networks[network].inputs[0].shape[-1])
                self._networks.append(_Network(network, modules[network], model))

    def sessions(self) -> list[tuple[tuple[int, ...], Call]]:
        """The shapes of inputs that were met, and what runs them."""
        return [pair for network in self._networks for pair in network.sessions.items()]

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with nn.intercept_methods(self._intercept):
            yield

    def _intercept(self, call: Any, arguments: Any, settings: Any, context: Any) -> Any:
        module = context.module
        if context.method_name != "__call__" or module.scope is None or module.scope.path:
            return call(*arguments, **settings)
        found = next((one for one in self._networks if _same(one.module, module)), None)
        if found is None or len(arguments) != 1:
            return call(*arguments, **settings)
        x = arguments[0].astype(jnp.float32)
        run = self._session(found, x.shape)
        # A generator's picture has the size of what it is shown.
        shape = jax.ShapeDtypeStruct((*x.shape[:-1], found.module.output_nc), jnp.float32)

        def called(x: np.ndarray) -> np.ndarray:
            if self._tap is not None:
                self._tap(found.name, np.array(x))
            return run(x)

        return _within(called, shape, x)

    def _session(self, network: _Network, shape: tuple[int, ...]) -> Call:
        if shape not in network.sessions:
            network.sessions[shape] = session(self._name, network.model, shape, self._precision)
        return network.sessions[shape]


def _within(call: Call, shape: jax.ShapeDtypeStruct, x: jax.Array) -> jax.Array:
    """A call to another runtime as a part of a compiled program."""
    if jax.default_backend() == "cpu":
        # Both read the same memory. `pure_callback` copies what it is shown: at 256x256 that takes
        # 0.7 ms beside a network of 6.

        def written(_: Any, out: Any, x: Any) -> None:
            np.asarray(out)[...] = call(np.asarray(x))

        called: Any = buffer_callback(written, shape, vmap_method="sequential")
        return called(x)
    return jax.pure_callback(lambda x: call(np.asarray(x)), shape, x, vmap_method="sequential")


def graph(module: nn.Module, params: Any, channels: int) -> bytes:
    """A generator as an ONNX graph from NHWC to NHWC. Raises UserError where it has none."""
    model = onnx.build(module, params, {"x": channels}, "y", last=True)
    return model.SerializeToString()


def _same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules are the same network, bound or not."""
    names = [name for name in a.__dataclass_fields__ if name not in ("parent", "name")]
    return type(a) is type(b) and all(getattr(a, name) == getattr(b, name) for name in names)


def milliseconds(call: Callable[[], Any], tries: int = TRIES, most: float = float("inf")) -> float:
    """The median of `times_of`."""
    return float(np.median(times_of(call, tries, most)))


def times_of(
    call: Callable[[], Any], tries: int = TRIES, most: float = float("inf")
) -> list[float]:
    """Milliseconds of each call, after one that warms up. One that takes longer than `most` is not
    repeated further."""
    call()
    spent: list[float] = []
    while len(spent) < tries and (not spent or spent[0] <= most):
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1000)
    return spent
