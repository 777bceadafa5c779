"""The First Order Motion Model's networks as ONNX graphs: a picture's keypoints, and a photo with
the keypoints of a film's frame; where the background moves, how it did between two pictures.

Lookups in pictures are gathers (GatherND), which every runtime has. Batch norm goes by running
statistics. Pictures are NCHW in [0, 1], of the run's size; the batch is free. Relative motion
(recipes.first_order_settings.Test) is a few sums of the host's: docs/first-order.md.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.files import write_json
from motion_jax.nets.first_order import DenseMotion
from motion_jax.nets.keypoints import LEAST_DETERMINANT
from motion_jax.nets.sampling import coordinate_grid, shrinking_matrix
from motion_jax.port import calling, onnx
from motion_jax.port.options import ExportOptions
from motion_jax.port.run_state import all_params

BACKGROUNDS = (
    "where each place of the driving picture's background is in the photo: a 2x2 matrix beside a "
    "shift, of the same coordinates; [[1, 0, 0], [0, 1, 0]]: it stands still, as in relative motion"
)
# Of a layer or network its parameters and its running statistics.
Variables = tuple[Any, Any]
# Names and shapes of what a graph takes and gives; None: the batch.
Values = dict[str, tuple[int | None, ...]]


class Net:
    """Adds operations to a graph; names are made here.

    Its methods take and give names of arrays; `n` is the batch."""

    def __init__(self, graph: onnx.Graph):
        self.graph, self._count = graph, 0

    def op(self, operation: str, *inputs: Any, **attributes: Any) -> str:
        """Arrays among the inputs become constants."""
        self._count += 1
        name = f"{operation.lower()}_{self._count}"
        names = [
            each
            if isinstance(each, str)
            else self.graph.constant(f"{name}.constant_{i}", np.asarray(each))
            for i, each in enumerate(inputs)
        ]
        return self.graph.add(operation, names, name, **attributes)

    def reshape(self, x: str, *shape: int) -> str:
        """0: as before; -1: what is left."""
        return self.op("Reshape", x, np.array(shape, np.int64))

    def part(self, x: str, axis: int, index: int, keep: bool = False) -> str:
        """One entry along an axis."""
        where = np.array([index] if keep else index, np.int64)
        return self.op("Gather", x, where, axis=axis)

    def unsqueezed(self, x: str, *axes: int) -> str:
        return self.op("Unsqueeze", x, np.array(axes, np.int64))

    # --- layers -------------------------------------------------------------------------------

    def conv(
        self, x: str, layer: Mapping[str, Any], path: str, padding: int, double: bool = False
    ) -> str:
        if double:
            return self.graph.conv(x, layer, "resize", path)
        kernel = np.asarray(layer["kernel"])
        weight = self.graph.weight(f"{path}.weight", kernel.transpose(3, 2, 0, 1))
        bias = self.graph.weight(f"{path}.bias", layer["bias"])
        how = {"kernel_shape": [kernel.shape[0]] * 2, "pads": [padding] * 4}
        return self.graph.add("Conv", [x, weight, bias], path, **how)

    def norm(self, x: str, variables: Variables, path: str) -> str:
        params, statistics = variables
        return self.op("Relu", self.graph.batch_norm(x, params, path, statistics))

    def normed(
        self, x: str, variables: Variables, path: str, change: str = "", padding: int = 1
    ) -> str:
        """Convolution, norm, ReLU; change: "double" before, "halve" after."""
        params, statistics = variables
        x = self.conv(x, params["conv"], f"{path}.conv", padding, change == "double")
        x = self.norm(x, (params["norm"], statistics["norm"]), f"{path}.norm")
        if change != "halve":
            return x
        return self.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])

    def hourglass(self, x: str, module: Any, variables: Variables, path: str) -> str:
        kept = [x]
        for i in range(module.halvings):
            name = f"down_{i}"
            kept.append(self.normed(kept[-1], _inner(variables, name), f"{path}.{name}", "halve"))
        x = kept.pop()
        for i in range(module.halvings):
            name = f"up_{i}"
            x = self.normed(x, _inner(variables, name), f"{path}.{name}", "double")
            x = self.op("Concat", x, kept.pop(), axis=1)
        return x

    def shrunk(self, x: str, height: int, width: int, scale: float) -> str:
        if scale == 1:
            return x
        x = self.op("MatMul", shrinking_matrix(height, scale), x)
        return self.op("MatMul", x, np.ascontiguousarray(shrinking_matrix(width, scale).T))

    def resized(self, x: str, have: tuple[int, int], wanted: tuple[int, int]) -> str:
        """Bilinear, [n, c, h, w]."""
        if have == wanted:
            return x
        scales = np.array([1, 1, wanted[0] / have[0], wanted[1] / have[1]], np.float32)
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.op("Resize", x, "", scales, **how)

    # --- lookups ------------------------------------------------------------------------------

    def sampled(self, x: str, places: str, size: tuple[int, int], align: bool) -> str:
        """Pictures [n, c, h, w] at coordinates [n, p, 2]: [n, p, c]; see nets/sampling.py."""
        height, width = size
        sides = np.array([[[width, height]]], np.float32)
        if align:
            place = self.op("Mul", self.op("Add", places, _one(1)), (sides - 1) / 2)
        else:
            scaled = self.op("Mul", self.op("Add", places, _one(1)), sides / 2)
            place = self.op("Sub", scaled, _one(0.5))
        place = self.op("Min", self.op("Max", place, _one(-2)), sides + 1)
        low = self.op("Floor", place)
        share = self.op("Sub", place, low)
        rest = self.op("Sub", _one(1), share)
        pixels = self.op("Transpose", x, perm=[0, 2, 3, 1])
        pixels = self.op("Reshape", pixels, np.array([0, height * width, -1], np.int64))
        total = ""
        for down in (0, 1):
            for right in (0, 1):
                corner = self.op("Add", low, np.array([[[right, down]]], np.float32))
                near = self.op("Min", self.op("Max", corner, _one(0)), sides - 1)
                inside = self.op("Cast", self.op("Equal", near, corner), to=_FLOAT)
                along_x = self.part(share if right else rest, 2, 0, keep=True)
                along_y = self.part(share if down else rest, 2, 1, keep=True)
                weight = self.op("Mul", self.op("Mul", along_x, along_y),
                                 self.op("ReduceMin", inside, axes=[2], keepdims=1))  # fmt: skip
                row = self.op("Mul", self.part(near, 2, 1, keep=True), _one(width))
                index = self.op("Add", row, self.part(near, 2, 0, keep=True))
                index = self.op("Cast", index, to=_INT64)
                found = self.op("GatherND", pixels, index, batch_dims=1)
                found = self.op("Mul", found, weight)
                total = self.op("Add", total, found) if total else found
        return total

    # --- keypoints ----------------------------------------------------------------------------

    def change(self, source: str, driving: str) -> str:
        """J_s times the bounded inverse of J_d: [n, K, 2, 2]."""
        flat = self.reshape(driving, 0, 0, 4)
        a, b, c, d = (self.part(flat, 2, i, keep=True) for i in range(4))
        found = self.op("Sub", self.op("Mul", a, d), self.op("Mul", b, c))
        least = self.op("Where", self.op("Less", found, _one(0)), _one(-LEAST_DETERMINANT),
                        _one(LEAST_DETERMINANT))  # fmt: skip
        small = self.op("Less", self.op("Abs", found), _one(LEAST_DETERMINANT))
        found = self.op("Where", small, least, found)
        adjugate = self.op("Concat", d, self.op("Neg", b), self.op("Neg", c), a, axis=2)
        inverse = self.reshape(self.op("Div", adjugate, found), 0, 0, 2, 2)
        return self.op("MatMul", source, inverse)

    def bumps(self, value: str, grid: np.ndarray, variance: float) -> str:
        """[n, K, 2] -> [n, K, p]."""
        away = self.op("Sub", grid, self.unsqueezed(value, 2))
        far = self.op("ReduceSum", self.op("Mul", away, away), np.array([3], np.int64), keepdims=0)
        return self.op("Exp", self.op("Mul", far, _one(-0.5 / variance)))


_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto


def _one(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def _inner(variables: Variables, name: str) -> Any:
    """Of (parameters, statistics) those of a layer."""
    params, statistics = variables
    return params[name], statistics.get(name, {})


def detector(net: Net, module: Any, variables: Variables, picture: str, size: Any) -> list[str]:
    """[value] or [value, jacobian]."""
    params, _ = variables
    height, width = size
    small = net.shrunk(picture, height, width, module.scale)
    height, width = (int(side * module.scale) for side in size)
    features = net.hourglass(small, module, _inner(variables, "hourglass"), "hourglass")
    logits = net.conv(features, params["kp"], "kp", module.padding)
    height, width = (side + 2 * module.padding - 6 for side in (height, width))
    flat = net.reshape(logits, 0, module.count, height * width)
    heat = net.op("Softmax", net.op("Mul", flat, _one(1 / module.temperature)), axis=2)
    grid = coordinate_grid(height, width).reshape(-1, 2)
    value = net.op("MatMul", heat, grid)
    if not module.jacobian:
        return [value]
    maps = net.conv(features, params["jacobian_map"], "jacobian_map", module.padding)
    count = 1 if module.single_map else module.count
    maps = net.reshape(maps, 0, count, 4, height * width)
    weighted = net.op("Mul", maps, net.unsqueezed(heat, 2))
    found = net.op("ReduceSum", weighted, np.array([3], np.int64), keepdims=0)
    return [value, net.reshape(found, 0, module.count, 2, 2)]


def background_motion(
    net: Net, module: Any, variables: Variables, pictures: Sequence[str], size: Any
) -> str:
    """The map [n, 2, 3] from (photo, driving)."""
    params, _ = variables
    height, width = size
    small = [net.shrunk(each, height, width, module.scale) for each in pictures]
    x = net.op("Concat", *small, axis=1)
    for i in range(module.halvings):
        name = f"down_{i}"
        x = net.normed(x, _inner(variables, name), name, "halve")
    mean = net.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    kernel = net.graph.weight("kernel", params["kernel"])
    bias = net.graph.weight("bias", params["bias"])
    return net.reshape(net.op("Add", net.op("MatMul", mean, kernel), bias), 0, 2, 3)


def background_places(net: Net, background: str, grid: np.ndarray) -> str:
    """Where the map [n, 2, 3] has each place of a grid [1, 1, pixels, 2]: [n, 1, pixels, 2]."""
    columns = net.op("Transpose", background, perm=[0, 2, 1])
    matrix = net.op("Gather", columns, np.array([0, 1], np.int64), axis=1)
    shift = net.unsqueezed(net.part(columns, 1, 2, keep=True), 1)
    return net.op("Add", net.op("MatMul", grid, net.unsqueezed(matrix, 1)), shift)


def dense_motion(
    net: Net,
    module: DenseMotion,
    variables: Variables,
    picture: str,
    size: Any,
    points: Any,
    background: str | None,
) -> tuple[str, str | None, tuple[int, int]]:
    """(deformation [n, 2, h, w], occlusion [n, 1, h, w], (h, w)). background: its map [n, 2, 3];
    None: it stands still."""
    params, _ = variables
    height, width = size
    small = net.shrunk(picture, height, width, module.scale)
    height, width = (int(side * module.scale) for side in size)
    pixels, count = height * width, module.count + 1
    grid = coordinate_grid(height, width).reshape(1, 1, pixels, 2)
    (source, of_source), (driving, of_driving) = points
    away = net.op("Sub", grid, net.unsqueezed(driving, 2))
    if of_source is not None:
        change = net.op("Transpose", net.change(of_source, of_driving), perm=[0, 1, 3, 2])
        away = net.op("MatMul", away, change)
    moved = net.op("Add", away, net.unsqueezed(source, 2))
    if background is None:
        nothing = net.op("Mul", net.part(moved, 1, 0, keep=True), _one(0))
        behind = net.op("Add", nothing, grid)
    else:
        behind = background_places(net, background, grid)
    motions = net.op("Concat", behind, moved, axis=1)
    places = net.reshape(motions, 0, count * pixels, 2)
    deformed = net.sampled(small, places, (height, width), module.align_corners)
    deformed = net.reshape(deformed, 0, count, pixels, -1)
    deformed = net.op("Transpose", deformed, perm=[0, 1, 3, 2])
    heat = net.op("Sub", net.bumps(driving, grid, module.variance),
                  net.bumps(source, grid, module.variance))  # fmt: skip
    none = net.op("Mul", net.part(heat, 1, 0, keep=True), _one(0))
    heat = net.unsqueezed(net.op("Concat", none, heat, axis=1), 2)
    shown = net.op("Concat", heat, deformed, axis=2)
    shown = net.op("Reshape", shown, np.array([0, -1, height, width], np.int64))
    features = net.hourglass(shown, module, _inner(variables, "hourglass"), "motion.hourglass")
    mask = net.op("Softmax", net.conv(features, params["mask"], "motion.mask", 3), axis=1)
    weights = net.reshape(mask, 0, count, pixels, 1)
    found = net.op("ReduceSum", net.op("Mul", weights, motions), np.array([1], np.int64),
                   keepdims=0)  # fmt: skip
    found = net.op("Transpose", found, perm=[0, 2, 1])
    deformation = net.reshape(found, 0, 2, height, width)
    occlusion = None
    if module.occlusion:
        logits = net.conv(features, params["occlusion_map"], "motion.occlusion_map", 3)
        occlusion = net.op("Sigmoid", logits)
    return deformation, occlusion, (height, width)


def generator(
    net: Net,
    module: Any,
    variables: Variables,
    picture: str,
    size: Any,
    points: Any,
    background: str | None = None,
) -> str:
    """The picture [n, 3, h, w]."""
    params, _ = variables
    x = net.normed(picture, _inner(variables, "first"), "first", padding=3)
    for i in range(module.halvings):
        x = net.normed(x, _inner(variables, f"down_{i}"), f"down_{i}", "halve")
    low = tuple(side // 2**module.halvings for side in size)
    blended = ""
    if module.motion is not None:
        inner = _inner(variables, "motion")
        found, hidden, small = dense_motion(
            net, module.motion, inner, picture, size, points, background
        )
        x = _looked_up(net, x, _as_list(net, net.resized(found, small, low), low), low, module)
        if hidden is not None:
            x = net.op("Mul", x, net.resized(hidden, small, low))
        if hidden is not None and module.skips:
            blended = net.resized(hidden, small, size)
            places = _as_list(net, net.resized(found, small, size), size)
            warped = _looked_up(net, picture, places, size, module)
    for i in range(module.residuals):
        name, y = f"residual_{i}", x
        block = _inner(variables, name)
        for k in (1, 2):
            y = net.norm(y, _inner(block, f"norm{k}"), f"{name}.norm{k}")
            y = net.conv(y, block[0][f"conv{k}"], f"{name}.conv{k}", 1)
        x = net.op("Add", x, y)
    for i in range(module.halvings):
        x = net.normed(x, _inner(variables, f"up_{i}"), f"up_{i}", "double")
    made = net.op("Sigmoid", net.conv(x, params["last"], "last", 3))
    if blended:
        made = _mixed(net, made, warped, blended)
    if not module.matte or module.motion is None:
        return made
    behind = picture
    if background is not None:
        grid = coordinate_grid(*size).reshape(1, 1, size[0] * size[1], 2)
        places = net.reshape(background_places(net, background, grid), 0, size[0] * size[1], 2)
        behind = _looked_up(net, picture, places, size, module)
    alpha = net.op("Sigmoid", net.conv(x, params["alpha"], "alpha", 3))
    return _mixed(net, behind, made, alpha)


def _as_list(net: Net, places: str, size: Any) -> str:
    """[n, 2, h, w] -> [n, pixels, 2]."""
    return net.op("Transpose", net.reshape(places, 0, 2, size[0] * size[1]), perm=[0, 2, 1])


def _looked_up(net: Net, x: str, places: str, size: Any, module: Any) -> str:
    """Pictures [n, c, h, w] at the coordinates [n, pixels, 2] of another one of the same size."""
    found = net.op("Transpose", net.sampled(x, places, size, module.align_corners), perm=[0, 2, 1])
    return net.op("Reshape", found, np.array([0, -1, *size], np.int64))


def _mixed(net: Net, below: str, above: str, share: str) -> str:
    """share * above + (1 - share) * below."""
    return net.op("Add", below, net.op("Mul", share, net.op("Sub", above, below)))


# --- files ----------------------------------------------------------------------------------------


def build(recipe: Any, params: Mapping[str, Any], half: bool = False) -> dict[str, Any]:
    """{"detector", "generator", "background" where there is one: the ModelProto} of a FirstOrder
    recipe. params: by network name.

    Raises UserError without the onnx package."""
    size, count = recipe.size, recipe.detector.points
    shown = (None, 3, *size)
    modules = recipe.tested_modules("main")
    pairs = {name: _variables(params[name]) for name in modules if name in params}
    net = Net(onnx.Graph(half))
    found = detector(net, modules["detector"], pairs["detector"], "picture", size)
    outputs: Values = {"value": (None, count, 2)}
    if recipe.detector.jacobian:
        outputs["jacobian"] = (None, count, 2, 2)
    made = {"detector": _model(net, "detector", {"picture": shown}, outputs, found)}
    net, inputs, points = Net(onnx.Graph(half)), {"photo": shown}, []
    for who in ("photo", "driving"):
        names = [f"{who}_{part}" for part in outputs]
        inputs |= dict(zip(names, outputs.values(), strict=True))
        points.append((names[0], names[1] if len(names) > 1 else None))
    behind = "driving_background" if "background" in pairs else None
    if behind is not None:
        inputs[behind] = (None, 2, 3)
    own = modules["generator"], pairs["generator"]
    picture = generator(net, *own, "photo", size, points, behind)
    made["generator"] = _model(net, "generator", inputs, {"picture": shown}, [picture])
    if behind is not None:
        net, inputs = Net(onnx.Graph(half)), {"photo": shown, "driving": shown}
        own = modules["background"], pairs["background"]
        found = [background_motion(net, *own, list(inputs), size)]
        made["background"] = _model(net, "background", inputs, {"background": (None, 2, 3)}, found)
    return made


def _variables(variables: Mapping[str, Any]) -> tuple[Any, Any]:
    return variables["params"], variables["batch_stats"]


def _model(net: Net, name: str, inputs: Values, outputs: Values, found: Sequence[str]) -> Any:
    graph = net.graph
    helper = graph.onnx.helper
    for made, output in zip(found, outputs, strict=True):
        graph.add("Identity", [made], output)

    def value(name: str, shape: Sequence[int | None]) -> Any:
        dims = ["batch" if side is None else side for side in shape]
        return helper.make_tensor_value_info(name, _FLOAT, dims)

    body = helper.make_graph(
        graph.nodes,
        name,
        [value(*each) for each in inputs.items()],
        [value(*each) for each in outputs.items()],
        list(graph.weights.values()),
    )
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", onnx.OPSET)],
        ir_version=onnx.IR_VERSION,
        producer_name="motion_jax",
    )
    graph.onnx.checker.check_model(model)
    return model


def files(options: ExportOptions) -> dict[Path, Any]:
    """By path, the function that writes it: detector.onnx, generator.onnx and, where there is one,
    background.onnx with their JSON."""
    assert options.run is not None, "of a run"
    run, params = all_params(options.run, options.weights)
    recipe: Any = run.config.recipe
    found: dict[Path, Any] = {}
    for name, model in build(recipe, params, options.half).items():
        path = options.out / f"{name}.onnx"
        about = {
            **onnx.heading(path, options.half),
            "pictures": "NCHW, RGB, 0...1",
            "keypoints": "(x, y) from -1 to 1, the centres of the outermost pixels at -1 and 1",
            **({"backgrounds": BACKGROUNDS} if recipe.background_moves else {}),
            "inputs": _shapes(model.graph.input),
            "outputs": _shapes(model.graph.output),
            "test": dataclasses.asdict(recipe.test),
            "from": calling.about_run(run, options.weights),
        }
        found[path] = partial(onnx.write, model=model, about=about)
        found[path.with_name(f"{path.name}.json")] = partial(write_json, value=about)
    return found


def _shapes(values: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "shape": [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim],
        }
        for each in values
    ]
