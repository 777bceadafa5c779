"""From the names that jax leaves in a program to the network and layer that a person knows.

jax writes where an operation comes from as a path, with the transformations that it went through
wrapped around parts of it: `jit(step)/transpose(jvp(discriminator))/MultiscaleDiscriminator/
scale_0/layer_2/conv_general_dilated`. The same paths (without the last part) are the name stacks of
a jaxpr.
"""

import re
from typing import NamedTuple

# Structure of the program, not of the networks.
_STRUCTURE = re.compile(
    r"(closed_call|while|body|cond|scan|checkpoint|remat|rematted_computation|branch_\d+_fun"
    r"|custom_[jv][jvp]p_call\w*|pjit|shard_map|core_call|eval_jaxpr)$"
)
# Classes of modules (GlobalGenerator) repeat what the scope around them says; losses (G_GAN) have
# an underscore.
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*$")
_NAME = re.compile(r"[A-Za-z_]\w*$")
_WRAPPED = re.compile(r"(\w+)\((.*)\)$")
# Wrapped around the name of a function; around other names jax wraps transformations.
_CALLS = ("jit", "pjit", "custom_jvp_call", "custom_vjp_call")

OTHER = "other"
REST = "(between layers)"


class Scope(NamedTuple):
    """network: "generator", "vgg19", "G_L1", "adam", "pose drawing", …; "other" where no name is
    known. layer: "block 5 / conv 2 / norm", or "". backward: whether it computes gradients."""

    network: str
    layer: str = ""
    backward: bool = False

    def __str__(self) -> str:
        text = " / ".join(part for part in (self.network, self.layer) if part)
        return text + (" (backward)" if self.backward else "")


def of_stack(path: str) -> Scope:
    """The scope of a jaxpr's name stack (joined by "/", outermost first)."""
    parts, backward = [], False
    for part in path.split(";")[0].split("/"):
        part, function = part.strip(), False
        while wrapped := _WRAPPED.match(part):
            backward |= wrapped[1] == "transpose"
            function |= wrapped[1] in _CALLS
            part = wrapped[2]
        if not function and _NAME.match(part) and not _STRUCTURE.match(part):
            parts.append(part)
    parts = [parts[0], *(p for p in parts[1:] if not _CLASS.match(p))] if parts else [OTHER]
    return Scope(plain(parts[0]), " / ".join(map(plain, parts[1:])), backward)


def of_operation(name: str) -> Scope:
    """The scope of an operation's `op_name` in a compiled program: its last part is the primitive.

    Parameters of the program are named by their place in the arguments instead:
    `state.params['generator']['params']['block_0']['conv_1']['kernel']`.
    """
    if "[" in name and "/" not in name:
        return _of_argument(name)
    if merged := re.match(r"[^:]*?/\((.+?):", name):
        # Several operations in one, "jit(step)/(this:that:…)": as the first.
        name = merged[1]
    return of_stack(name.split(";")[0].rpartition("/")[0])


def _of_argument(name: str) -> Scope:
    # The compiler's text puts a backslash before each quotation mark.
    keys = re.findall(r"\['(\w+)'\]", name.replace("\\", ""))
    if not keys or name.startswith("batch"):
        return Scope("input" if name.startswith("batch") else OTHER)
    if name.startswith("state.optimizer"):
        return Scope("adam", plain(keys[0]))
    if name.startswith("state.averaged"):
        return Scope("averaging")
    layers = [key for key in keys[1:-1] if key != "params"]
    return Scope(plain(keys[0]), " / ".join(map(plain, layers)))


def plain(name: str) -> str:
    """block_5 -> block 5; losses (G_GAN), which begin with a capital, keep their names."""
    return name if name[:1].isupper() else name.replace("_", " ").strip()
