"""Arithmetic and parameters, counted in a program before it is compiled (a jaxpr)."""

import math
from typing import Any

import jax


def count_parameters(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def flops(jaxpr: Any) -> int:
    """Floating-point operations (two a multiply-add) of a jaxpr's convolutions and matrix products.

    A scan's body counts once for each of its steps. Elementwise work is left out; in these networks
    it is below one percent.
    """
    total = 0
    for equation in jaxpr.eqns:
        total += equation_flops(equation)
        for inner in inner_jaxprs(equation):
            total += times(equation) * flops(inner)
    return total


def equation_flops(equation: Any) -> int:
    """Of one convolution or matrix product; 0 for anything else."""
    params = equation.params
    if equation.primitive.name == "conv_general_dilated":
        spec = params["dimension_numbers"]
        kernel = equation.invars[1].aval.shape
        out = equation.outvars[0].aval
        per_output = math.prod(kernel) // kernel[spec.rhs_spec[0]]
        # Zeros between the pixels of a dilated input are multiplied by no sensible program.
        per_output /= math.prod(params["lhs_dilation"])
        return int(2 * math.prod(out.shape) * per_output)
    if equation.primitive.name == "dot_general":
        (contract, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        shared = math.prod(left[axis] for axis in contract)
        return 2 * math.prod(equation.outvars[0].aval.shape) * shared
    return 0


def times(equation: Any) -> int:
    """How often the inner jaxprs of an equation run; 1 where only the run itself can tell."""
    return equation.params.get("length", 1) if equation.primitive.name == "scan" else 1


def inner_jaxprs(equation: Any) -> list[Any]:
    """The jaxprs inside an equation: of a loop, a condition, a jitted function."""
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                found.append(item)
    return found
