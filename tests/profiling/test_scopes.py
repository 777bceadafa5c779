"""From jax's names to networks and layers."""

import jax
import jax.numpy as jnp
import pytest

from motion_jax.profiling.scopes import OTHER, Scope, of_operation, of_stack

CLOSED = "jit(step)/transpose(jvp())/closed_call/generator/GlobalGenerator"


@pytest.mark.parametrize(
    ("name", "network", "layer", "backward"),
    [
        (
            "jit(step)/jvp()/closed_call/generator/GlobalGenerator/block_5/conv_2/norm/mul",
            "generator", "block 5 / conv 2 / norm", False,
        ),
        (f"{CLOSED}/first/conv_general_dilated", "generator", "first", True),
        (f"{CLOSED}/first/jit(_pad)/jit(_flip)/rev", "generator", "first", True),
        (
            "jit(step)/transpose(jvp(discriminator))/MultiscaleDiscriminator/scale_1/layer_2/add_any",
            "discriminator", "scale 1 / layer 2", True,
        ),
        ("jit(step)/jvp(vgg19)/VGG19/conv_7/jit(relu)/max", "vgg19", "conv 7", False),
        ("jit(step)/G_L1/transpose(jvp())/neg", "G_L1", "", True),
        ("jit(step)/transpose(jvp(G_GAN_Feat))/mul;jit(step)/mul", "G_GAN_Feat", "", True),
        ("jit(step)/adam/face_generator/sqrt", "adam", "face generator", False),
        (
            "jit(step)/pose_drawing/jit(_rasterize)/cond/branch_1_fun/while/body/closed_call/abs",
            "pose drawing", "", False,
        ),
        ("jit(step)/vmap()/checkpoint/rematted_computation/generator/first/add", "generator",
         "first", False),
        (
            "jit(step)/(transpose(jvp(discriminator))/Multi/scale_0/layer_1/reduce_sum:transpose(jvp())"
            "/closed_call/generator/GlobalGenerator/first/reduce_sum)",
            "discriminator", "scale 0 / layer 1", True,
        ),
        ("jit(step)/jvp()/ij,jk->ik/dot_general", OTHER, "", False),
        ("jit(step)/add", OTHER, "", False),
        ("add", OTHER, "", False),
        ("", OTHER, "", False),
        (r"state.params[\'generator\'][\'params\'][\'block_0\'][\'conv_1\'][\'kernel\']",
         "generator", "block 0 / conv 1", False),
        ("state.optimizer['face_generator'].mu['params']['last']['bias']", "adam",
         "face generator", False),
        ("state.averaged['generator']['params']['last']['bias']", "averaging", "", False),
        ("frozen['vgg19']['params']['conv_3']['bias']", "vgg19", "conv 3", False),
        ("batch['frames']", "input", "", False),
        ("state.key", OTHER, "", False),
    ],
)  # fmt: skip
def test_names_of_operations(name, network, layer, backward):
    assert of_operation(name) == Scope(network, layer, backward)


def test_what_a_reader_sees():
    scope = of_stack("transpose(jvp())/generator/GlobalGenerator/block_5/conv_2")
    assert str(scope) == "generator / block 5 / conv 2 (backward)"
    assert str(Scope("adam")) == "adam"


def test_scopes_survive_a_custom_backward_pass():
    """As convolutions with a backward pass of their own have it."""

    @jax.custom_vjp
    def product(x, k):
        return x @ k

    def backward(saved, gradient):
        x, k = saved
        return gradient @ k.T, x.T @ gradient

    product.defvjp(lambda x, k: (product(x, k), (x, k)), backward)

    def loss(k, x):
        with jax.named_scope("generator"), jax.named_scope("first"):
            y = product(x, k)
        with jax.named_scope("G_L1"):
            return jnp.abs(y).mean()

    x, k = jnp.ones((7, 5)), jnp.ones((5, 3))
    text = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(k, x).compile().as_text()
    names = [part.split('"')[0] for part in text.split('op_name="')[1:]]
    found = {of_operation(name) for name in names if name.endswith("dot_general")}
    # Nothing needs the forward product's value but its sign.
    assert found == {Scope("generator", "first", False), Scope("generator", "first", True)}
