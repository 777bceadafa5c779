"""Our generators as ONNX graphs, written layer by layer with the `onnx` package's helpers.

Not with jax2onnx: it translates whatever JAX traced (here the forms of the convolutions that suit
one platform) and wants an Orbax older than ours. A generator has nine kinds of operations, and ONNX
has them all. Graphs are NCHW with free batch, height and width; float32 arithmetic.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from motion_jax.errors import UserError
from motion_jax.files import atomic_path
from motion_jax.nets.conv import up_kernel
from motion_jax.nets.pix2pix import ResnetGenerator, UnetGenerator
from motion_jax.nets.pix2pixhd import IDENTITY, GlobalGenerator, LocalEnhancer

# The oldest operator set that has everything in the form used here; ONNX Runtime reads it since
# version 1.12 (2022).
OPSET, IR_VERSION = 17, 8
EPSILON = 1e-5  # of the norms


def onnx_package() -> Any:
    """The `onnx` package. Raises UserError where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            "Writing ONNX needs the package onnx: pip install 'motion-jax[onnx]'; StableHLO, torch "
            "and safetensors need nothing more."
        ) from error
    return onnx


class Graph:
    """Collects nodes and weights; each method adds an operation and returns its output's name.

    half: weights are stored as float16 (half the file) and cast to float32 when they are loaded.
    """

    def __init__(self, half: bool = False):
        self.onnx, self.half = onnx_package(), half
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def add(self, operation: str, inputs: list[str], name: str, **attributes: Any) -> str:
        node = self.onnx.helper.make_node(operation, inputs, [name], name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.weights:
            self.weights[name] = self.onnx.numpy_helper.from_array(
                np.ascontiguousarray(value), name
            )
        return name

    def weight(self, name: str, value: Any) -> str:
        value = np.asarray(value, np.float32)
        if not self.half:
            return self.constant(name, value)
        stored = self.constant(f"{name}.half", value.astype(np.float16))
        return self.add("Cast", [stored], name, to=self.onnx.TensorProto.FLOAT)

    def pad(self, x: str, by: int, name: str) -> str:
        pads = self.constant(f"pads_{by}", np.array([0, 0, by, by, 0, 0, by, by], np.int64))
        return self.add("Pad", [x, pads], f"{name}.pad", mode="reflect")

    def conv(self, x: str, layer: Mapping, kind: str, name: str) -> str:
        """A layer of nets.blocks.Conv; layer: its parameters, kernel [k, k, I, O]."""
        kernel, inputs = np.asarray(layer["kernel"]), [x]
        if kind == "resize":  # a transposed convolution, as nets.conv.conv_resize
            kernel = np.asarray(up_kernel(jnp.asarray(kernel)))
            kind = "up"
        size = kernel.shape[0]
        axes = (2, 3, 0, 1) if kind == "up" else (3, 2, 0, 1)
        if kind == "reflect" and size > 1:
            inputs = [self.pad(x, size // 2, name)]
        inputs.append(self.weight(f"{name}.weight", kernel.transpose(axes)))
        if "bias" in layer:
            inputs.append(self.weight(f"{name}.bias", layer["bias"]))
        how = {"kernel_shape": [size] * 2}
        if kind == "up":
            how |= {"strides": [2, 2], "pads": [1] * 4, "output_padding": [size % 2] * 2}
            return self.add("ConvTranspose", inputs, name, **how)
        how["strides"] = [2 if kind in ("down", "basic2") else 1] * 2
        how["pads"] = [{"down": 1, "basic1": 1, "basic2": 1, "same": size // 2}.get(kind, 0)] * 4
        return self.add("Conv", inputs, name, **how)

    def separable(self, x: str, layer: Mapping, name: str) -> str:
        """A layer of nets.blocks.SeparableConv."""
        kernel = np.asarray(layer["depthwise"]["kernel"])
        weight = self.weight(f"{name}.depthwise.weight", kernel.transpose(3, 2, 0, 1))
        x = self.pad(x, 1, f"{name}.depthwise")
        how = {"group": kernel.shape[-1], "kernel_shape": [3, 3]}
        x = self.add("Conv", [x, weight], f"{name}.depthwise", **how)
        return self.conv(x, layer["pointwise"], "reflect", name)

    def norm(self, x: str, channels: int, name: str, relu: bool = False) -> str:
        """Instance norm without affine parameters, as nets.norm.instance_norm."""
        one = self.constant(f"ones_{channels}", np.ones(channels, np.float32))
        zero = self.constant(f"zeros_{channels}", np.zeros(channels, np.float32))
        name = f"{name}.norm"
        x = self.add("InstanceNormalization", [x, one, zero], name, epsilon=EPSILON)
        return self.add("Relu", [x], f"{name}.relu") if relu else x

    def batch_norm(self, x: str, params: Mapping, name: str, statistics: Mapping | None) -> str:
        """Batch norm by the statistics of each picture, as the original programs test, or by
        running ones where they are given."""
        scale = self.weight(f"{name}.scale", params["scale"])
        bias = self.weight(f"{name}.shift", params["bias"])
        if statistics is None:
            return self.add("InstanceNormalization", [x, scale, bias], name, epsilon=EPSILON)
        mean = self.weight(f"{name}.mean", statistics["mean"])
        variance = self.weight(f"{name}.var", statistics["var"])
        inputs = [x, scale, bias, mean, variance]
        return self.add("BatchNormalization", inputs, name, epsilon=EPSILON)

    def normed(self, x: str, layer: Mapping, kind: str, name: str) -> str:
        """Convolution, norm, ReLU."""
        return self.norm(self.conv(x, layer, kind, name), len(layer["bias"]), name, relu=True)

    def residual_block(self, x: str, block: Mapping, name: str) -> str:
        y = x
        for layer in ("conv_1", "conv_2"):
            part, path = block[layer], f"{name}.{layer}"
            if "depthwise" in part:
                y, channels = self.separable(y, part, path), len(part["pointwise"]["bias"])
            else:
                y, channels = self.conv(y, part, "reflect", path), len(part["bias"])
            y = self.norm(y, channels, path, relu=layer == "conv_1")
        return self.add("Add", [x, y], f"{name}.sum")

    def identity(self, x: str, layer: Mapping, name: str) -> str:
        """nets.pix2pixhd.Identity of one person."""
        factor = 1.0 + np.asarray(layer["factor"])[0]
        factor = self.weight(f"{name}.factor", factor[:, None, None])
        shift = self.weight(f"{name}.shift", np.asarray(layer["shift"])[0][:, None, None])
        x = self.add("Mul", [x, factor], f"{name}.times")
        return self.add("Add", [x, shift], f"{name}.moved")

    def halved(self, x: str, name: str) -> str:
        """As nets.conv.average_pool."""
        how = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        return self.add("AveragePool", [x], name, count_include_pad=0, **how)


def _global_generator(
    g: Graph, module: GlobalGenerator, params: Mapping, x: str, _: Mapping, at: str = ""
) -> str:
    if module.shuffle > 1:
        x = g.add("SpaceToDepth", [x], f"{at}blocks", blocksize=module.shuffle)
    x = g.normed(x, params["first"], "reflect", f"{at}first")
    for i in range(module.n_downsampling):
        x = g.normed(x, params[f"down_{i}"], "down", f"{at}down_{i}")
    x = _told(g, params, "lowest", x, at)
    for i in range(module.n_blocks):
        x = g.residual_block(x, params[f"block_{i}"], f"{at}block_{i}")
    for i in range(module.n_downsampling):
        x = g.normed(x, params[f"up_{i}"], module.up, f"{at}up_{i}")
        x = _told(g, params, f"up_{i}", x, at)
    if not module.head:
        return x
    x = g.conv(x, params["last"], "reflect", f"{at}last")
    if module.shuffle > 1:
        x = g.add("DepthToSpace", [x], f"{at}pixels", blocksize=module.shuffle, mode="DCR")
    return g.add("Tanh", [x], f"{at}tanh")


def _told(g: Graph, params: Mapping, after: str, x: str, at: str = "") -> str:
    """The factors and shifts of who it is, where the generator has some."""
    name = f"{IDENTITY}_{after}"
    return g.identity(x, params[name], f"{at}{name}") if name in params else x


def _local_enhancer(g: Graph, module: LocalEnhancer, params: Mapping, x: str, _: Mapping) -> str:
    count = module.n_local_enhancers
    pyramid = [x]
    for i in range(count):
        pyramid.append(g.halved(pyramid[-1], f"pool_{i}"))
    core = GlobalGenerator(
        n_downsampling=module.n_downsample_global,
        n_blocks=module.n_blocks_global,
        head=False,
        up=module.up,
    )
    y = _global_generator(g, core, params["model"], pyramid[-1], {}, "model.")
    for n in range(1, count + 1):
        name = f"enhancer_{n}"
        z = g.normed(pyramid[count - n], params[f"{name}_first"], "reflect", f"{name}_first")
        z = g.normed(z, params[f"{name}_down"], "down", f"{name}_down")
        y = g.add("Add", [z, y], f"{name}_sum")
        for i in range(module.n_blocks_local):
            block = f"{name}_block_{i}"
            y = g.residual_block(y, params[block], block)
        y = g.normed(y, params[f"{name}_up"], module.up, f"{name}_up")
        y = _told(g, params, f"{name}_up", y)
    return g.add("Tanh", [g.conv(y, params["last"], "reflect", "last")], "tanh")


class _Pix2Pix:
    """Layers of nets.pix2pix: a convolution, then one of its norms."""

    def __init__(self, graph: Graph, module: Any, params: Mapping, statistics: Mapping):
        self.graph, self.module, self.params = graph, module, params
        self.statistics = statistics if module.running else None

    def layer(
        self, x: str, path: tuple[str, ...], kind: str, normed: bool = True, relu: bool = False
    ) -> str:
        g, params, statistics, name = self.graph, self.params, self.statistics, ".".join(path)
        for part in path[:-1]:
            params = params[part]
            statistics = statistics and statistics.get(part)
        x = g.conv(x, params[path[-1]], kind, name)
        if normed and self.module.norm == "instance":
            return g.norm(x, params[path[-1]]["kernel"].shape[-1], name, relu)
        if normed and self.module.norm == "batch":
            norm = f"{path[-1]}_norm"
            found = statistics and statistics[norm]
            x = g.batch_norm(x, params[norm], f"{name}.norm", found or None)
        return g.add("Relu", [x], f"{name}.relu") if relu else x


def _unet(g: Graph, module: UnetGenerator, params: Mapping, x: str, statistics: Mapping) -> str:
    net, innermost = _Pix2Pix(g, module, params, statistics), module.num_downs - 1
    skips = []
    for i in range(module.num_downs):
        if i:
            x = g.add("LeakyRelu", [x], f"down_{i}.leaky", alpha=0.2)
        x = net.layer(x, (f"down_{i}",), "basic2", normed=0 < i < innermost)
        skips.append(x)
    for i in range(innermost, 0, -1):
        x = g.add("Relu", [x], f"up_{i}.before")
        x = net.layer(x, (f"up_{i}",), "up")
        x = g.add("Concat", [skips[i - 1], x], f"up_{i}.skip", axis=1)
    x = g.add("Relu", [x], "up_0.before")
    return g.add("Tanh", [net.layer(x, ("up_0",), "up", normed=False)], "tanh")


def _resnet(g: Graph, module: ResnetGenerator, params: Mapping, x: str, statistics: Mapping) -> str:
    net = _Pix2Pix(g, module, params, statistics)
    x = net.layer(x, ("first",), "reflect", relu=True)
    for i in range(2):
        x = net.layer(x, (f"down_{i}",), "down", relu=True)
    for i in range(module.n_blocks):
        y = net.layer(x, (f"block_{i}", "conv_1"), "reflect", relu=True)
        y = net.layer(y, (f"block_{i}", "conv_2"), "reflect")
        x = g.add("Add", [x, y], f"block_{i}.sum")
    for i in range(2):
        x = net.layer(x, (f"up_{i}",), "up", relu=True)
    return g.add("Tanh", [net.layer(x, ("last",), "reflect", normed=False)], "tanh")


Builder = Callable[[Graph, Any, Mapping, str, Mapping], str]
_BUILDERS: dict[type[nn.Module], Builder] = {
    GlobalGenerator: _global_generator,
    LocalEnhancer: _local_enhancer,
    UnetGenerator: _unet,
    ResnetGenerator: _resnet,
}


def has_form(module: nn.Module) -> bool:
    """Whether `build` can write a network."""
    return type(module) in _BUILDERS


def build(
    module: nn.Module,
    params: Mapping,
    inputs: Mapping[str, int],
    output: str,
    half: bool = False,
    last: bool = False,
) -> Any:
    """The ModelProto of a generator.

    Args:
      module, params: one of ours and its parameters ({"params": ...}).
      inputs: names and channels; side by side (along the channels) they are the network's input.
      output: name of what it gives.
      half: weights stored as float16.
      last: whether channels are the last axis of inputs and output (NHWC), not the second.
    Raises:
      UserError: a network that has no ONNX form here; no onnx package.
    """
    if getattr(module, "identities", 0) > 1:
        raise UserError("A generator of several people is written as ONNX of one of them: RUN:WHO.")
    if type(module) not in _BUILDERS:
        raise UserError(
            f"{type(module).__name__} cannot be written as ONNX; generators can: "
            f"{', '.join(kind.__name__ for kind in _BUILDERS)}."
        )
    graph = Graph(half)
    helper, float32 = graph.onnx.helper, graph.onnx.TensorProto.FLOAT
    names = list(inputs)
    axis = 3 if last else 1
    x = graph.add("Concat", names, "input", axis=axis) if len(names) > 1 else names[0]
    if last:
        x = graph.add("Transpose", [x], "first_channels", perm=[0, 3, 1, 2])
    statistics = params.get("batch_stats", {})
    made = _BUILDERS[type(module)](graph, module, params["params"], x, statistics)
    if last:
        graph.add("Transpose", [made], output, perm=[0, 2, 3, 1])
    else:
        graph.add("Identity", [made], output)

    def value(name: str, channels: int) -> Any:
        shape: list[Any] = ["batch", "height", "width"]
        shape.insert(axis, channels)
        return helper.make_tensor_value_info(name, float32, shape)

    body = helper.make_graph(
        graph.nodes,
        type(module).__name__,
        [value(name, count) for name, count in inputs.items()],
        [value(output, module.output_nc)],
        list(graph.weights.values()),
    )
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="motion_jax",
    )
    graph.onnx.checker.check_model(model)
    return model


def heading(path: Path, half: bool) -> dict[str, Any]:
    """What every graph's JSON begins with. half: whether weights are stored in 16 bits."""
    return {
        "file": path.name,
        "format": "onnx",
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "stored": "float16" if half else "float32",
    }


def write(path: Path, model: Any, about: Mapping[str, Any]) -> None:
    """Writes the model with what `about` says of it as its metadata."""
    onnx_package().helper.set_model_props(model, {"motion_jax": json.dumps(about)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
