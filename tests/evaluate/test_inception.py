"""FID's Inception against the same layers in ONNX Runtime, written out a second time from
torchvision's and pytorch-fid's description; weights are seeded."""

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.metrics.frechet import InceptionFeatures
from motion_jax.nets import inception
from motion_jax.weights.inception import load_inception
from motion_jax.weights.torch import write_nested

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


class Graph:
    """Layers as PyTorch has them; collects the state_dict that they need."""

    def __init__(self):
        self.rng, self.state = np.random.default_rng(0), {}
        self.nodes, self.arrays, self.channels = [], [], {"x": 3}

    def node(self, kind, inputs, channels, **attributes):
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        self.channels[out] = channels
        return out

    def array(self, name, value):
        self.state[name] = value.astype(np.float32)
        self.arrays.append(numpy_helper.from_array(self.state[name], name))
        return name

    def conv(self, x, name, out, k=1, stride=1, padding=0):
        """BasicConv2d: a convolution without bias, batch norm with epsilon 0.001, ReLU."""
        (rows, columns), (down, right) = (
            v if isinstance(v, tuple) else (v, v) for v in (k, padding)
        )
        taken, rng = self.channels[x], self.rng
        weight = rng.normal(size=(out, taken, rows, columns)) * np.sqrt(
            2 / (taken * rows * columns)
        )
        names = [self.array(f"{name}.conv.weight", weight)]
        y = self.node(
            "Conv", [x, *names], out, strides=[stride] * 2, pads=[down, right, down, right]
        )
        norm = {
            "weight": rng.uniform(0.5, 1.5, out), "bias": rng.normal(size=out) / 9,
            "running_mean": rng.normal(size=out) / 9, "running_var": rng.uniform(0.5, 1.5, out),
        }  # fmt: skip
        inputs = [self.array(f"{name}.bn.{key}", value) for key, value in norm.items()]
        self.state[f"{name}.bn.num_batches_tracked"] = np.array(1)
        y = self.node("BatchNormalization", [y, *inputs], out, epsilon=1e-3)
        return self.node("Relu", [y], out)

    def mean(self, x):
        return self.node(
            "AveragePool", [x], self.channels[x], kernel_shape=[3, 3], strides=[1, 1],
            pads=[1, 1, 1, 1], count_include_pad=0,
        )  # fmt: skip

    def most(self, x, stride, padding):
        return self.node(
            "MaxPool", [x], self.channels[x], kernel_shape=[3, 3], strides=[stride] * 2,
            pads=[padding] * 4,
        )  # fmt: skip

    def joined(self, *parts):
        return self.node("Concat", list(parts), sum(self.channels[p] for p in parts), axis=1)

    # torchvision's blocks, with pytorch-fid's pooling.

    def a(self, x, name, pooled):
        c = lambda x, part, *rest, **more: self.conv(x, f"{name}.{part}", *rest, **more)  # noqa: E731
        five = c(c(x, "branch5x5_1", 48), "branch5x5_2", 64, 5, padding=2)
        three = c(c(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, 3, padding=1)
        three = c(three, "branch3x3dbl_3", 96, 3, padding=1)
        return self.joined(
            c(x, "branch1x1", 64), five, three, c(self.mean(x), "branch_pool", pooled)
        )

    def b(self, x, name):
        c = lambda x, part, *rest, **more: self.conv(x, f"{name}.{part}", *rest, **more)  # noqa: E731
        double = c(c(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, 3, padding=1)
        double = c(double, "branch3x3dbl_3", 96, 3, stride=2)
        return self.joined(c(x, "branch3x3", 384, 3, stride=2), double, self.most(x, 2, 0))

    def c(self, x, name, inner):
        c = lambda x, part, *rest, **more: self.conv(x, f"{name}.{part}", *rest, **more)  # noqa: E731
        across, down = {"k": (1, 7), "padding": (0, 3)}, {"k": (7, 1), "padding": (3, 0)}
        one = c(c(x, "branch7x7_1", inner), "branch7x7_2", inner, **across)
        one = c(one, "branch7x7_3", 192, **down)
        two = c(c(x, "branch7x7dbl_1", inner), "branch7x7dbl_2", inner, **down)
        two = c(c(two, "branch7x7dbl_3", inner, **across), "branch7x7dbl_4", inner, **down)
        two = c(two, "branch7x7dbl_5", 192, **across)
        return self.joined(c(x, "branch1x1", 192), one, two, c(self.mean(x), "branch_pool", 192))

    def d(self, x, name):
        c = lambda x, part, *rest, **more: self.conv(x, f"{name}.{part}", *rest, **more)  # noqa: E731
        three = c(c(x, "branch3x3_1", 192), "branch3x3_2", 320, 3, stride=2)
        seven = c(x, "branch7x7x3_1", 192)
        seven = c(seven, "branch7x7x3_2", 192, (1, 7), padding=(0, 3))
        seven = c(seven, "branch7x7x3_3", 192, (7, 1), padding=(3, 0))
        seven = c(seven, "branch7x7x3_4", 192, 3, stride=2)
        return self.joined(three, seven, self.most(x, 2, 0))

    def e(self, x, name, pooled):
        c = lambda x, part, *rest, **more: self.conv(x, f"{name}.{part}", *rest, **more)  # noqa: E731
        across, down = {"k": (1, 3), "padding": (0, 1)}, {"k": (3, 1), "padding": (1, 0)}
        three = c(x, "branch3x3_1", 384)
        double = c(c(x, "branch3x3dbl_1", 448), "branch3x3dbl_2", 384, 3, padding=1)
        return self.joined(
            c(x, "branch1x1", 320),
            c(three, "branch3x3_2a", 384, **across), c(three, "branch3x3_2b", 384, **down),
            c(double, "branch3x3dbl_3a", 384, **across), c(double, "branch3x3dbl_3b", 384, **down),
            c(pooled, "branch_pool", 192),
        )  # fmt: skip

    def whole(self):
        x = self.conv("x", "Conv2d_1a_3x3", 32, 3, stride=2)
        x = self.conv(x, "Conv2d_2a_3x3", 32, 3)
        x = self.most(self.conv(x, "Conv2d_2b_3x3", 64, 3, padding=1), 2, 0)
        x = self.conv(self.conv(x, "Conv2d_3b_1x1", 80), "Conv2d_4a_3x3", 192, 3)
        x = self.most(x, 2, 0)
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = self.a(x, name, pooled)
        x = self.b(x, "Mixed_6a")
        for name, inner in zip("bcde", (128, 160, 160, 192), strict=True):
            x = self.c(x, f"Mixed_6{name}", inner)
        x = self.d(x, "Mixed_7a")
        x = self.e(x, "Mixed_7b", self.mean(x))
        x = self.e(x, "Mixed_7c", self.most(x, 1, 1))
        x = self.node("GlobalAveragePool", [x], self.channels[x])
        shape = [1, 3, inception.SIDE, inception.SIDE]
        graph = helper.make_graph(
            self.nodes, "inception", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, inception.CHANNELS, 1, 1])],
            self.arrays,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return runtime.InferenceSession(model.SerializeToString())


@pytest.fixture(scope="module")
def graph():
    made = Graph()
    return made, made.whole()


@pytest.fixture(scope="module")
def file(graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    write_nested(path, graph[0].state)
    return path


def test_its_features_are_those_of_the_published_layers(graph, file):
    """Of pictures of its own size, where nothing is resized."""
    pictures = np.random.default_rng(1).integers(0, 256, (2, 299, 299, 3)).astype(np.uint8)
    ours = InceptionFeatures(load_inception(file))(pictures)
    shown = (pictures.transpose(0, 3, 1, 2) / np.float32(127.5) - 1).astype(np.float32)
    theirs = [graph[1].run(None, {"x": one[None]})[0].reshape(-1) for one in shown]
    assert ours.shape == (2, 2048) and np.std(theirs) > 0.1
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * np.abs(theirs).max())


def test_another_file_is_refused(graph, tmp_path):
    state = dict(graph[0].state)
    state["Mixed_7b.branch1x1.conv.weight"] = np.zeros((320, 9, 1, 1), np.float32)
    write_nested(tmp_path / "other.pth", state)
    with pytest.raises(UserError, match="does not hold the weights of FID's Inception"):
        load_inception(tmp_path / "other.pth")
    small = {"AuxLogits.conv0.conv.weight": np.zeros((1, 1, 1, 1), np.float32)}
    write_nested(tmp_path / "vision.pth", small)
    with pytest.raises(UserError, match="torchvision's Inception"):
        load_inception(tmp_path / "vision.pth")
