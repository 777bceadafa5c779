"""Generators run by OpenVINO or ONNX Runtime, within our own programs.

A run's program draws the pose, crops the face, lays the person over the plate; where it calls a
generator, the other runtime is called instead, with the same weights. So every recipe whose
generators have an ONNX form runs this way, and none needs to know of it.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float32

from motion_jax.errors import UserError, option
from motion_jax.port import onnx
from motion_jax.train.run import Run

Runtime = Literal["jax", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]
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
    name: Runtime, model: bytes, shape: tuple[int, ...], precision: Precision = "float32"
) -> Call:
    """Runs an ONNX model of one input of this shape and one output.

    Raises UserError where the runtime is not installed, or cannot compute so.
    """
    try:
        if name == "openvino":
            return _openvino(model, shape, precision)
        if precision != "float32":
            raise UserError(
                f"{option('precision')} {precision} is for OpenVINO; ONNX Runtime computes float32."
            )
        return _onnxruntime(model)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{option('runtime')} {name} needs the package {error.name}: pip install "
            "'motion-jax[live]'."
        ) from error


def _openvino(model: bytes, shape: tuple[int, ...], precision: str) -> Call:
    # Its conversion tools send figures of use from a forked process, which with jax's threads may
    # hang; where this module is absent they do without.
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(openvino.PartialShape(list(shape)))
    # bfloat16 is OpenVINO's own choice on processors that have it: it must be said.
    kind = {"float32": "f32", "bfloat16": "bf16"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(network, "CPU", hints).create_infer_request()

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

    module: Any  # a generator: it has output_nc
    model: bytes
    sessions: dict[tuple[int, ...], Call] = field(default_factory=dict)


class Elsewhere:
    """A run's generators in another runtime: `around` for its Synthesizer.

    Raises UserError where a generator has no ONNX form.
    """

    def __init__(self, run: Run, name: Runtime, precision: Precision = "float32"):
        self._name, self._precision = name, precision
        modules = run.config.recipe.tested_modules(run.stage)
        networks = run.config.recipe.networks(run.stage)
        self._networks = []
        for network, params in run.params.items():
            if networks[network].role == "generator":
                inputs = {"x": networks[network].inputs[0].shape[-1]}
                model = onnx.build(modules[network], params, inputs, "y", last=True)
                self._networks.append(_Network(modules[network], model.SerializeToString()))

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
        return jax.pure_callback(lambda x: run(np.asarray(x)), shape, x, vmap_method="sequential")

    def _session(self, network: _Network, shape: tuple[int, ...]) -> Call:
        if shape not in network.sessions:
            network.sessions[shape] = session(self._name, network.model, shape, self._precision)
        return network.sessions[shape]


def _same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules are the same network, bound or not."""
    names = [name for name in a.__dataclass_fields__ if name not in ("parent", "name")]
    return type(a) is type(b) and all(getattr(a, name) == getattr(b, name) for name in names)


def milliseconds(call: Callable[[], Any], tries: int = TRIES) -> float:
    """The median time of a call, after one that warms up."""
    call()
    spent = []
    for _ in range(tries):
        begun = time.perf_counter()
        call()
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent)) * 1000
