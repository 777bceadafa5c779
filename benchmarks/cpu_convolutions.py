"""The forms in which a CPU can compute a convolution, each timed alone, layer by layer.

    python -m benchmarks.cpu_convolutions [--save]

For the convolutions of stride 1, which take nearly all of a step's time: the output, the gradient
towards the input and the gradient towards the kernel, in XLA's own form ("plain") and in those of
motion_jax/nets/conv_cpu.py, which chooses among them by shape. `chosen` is the form that it takes.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.reporting import markdown, parse, report, sentences, table
from motion_jax.errors import UserError

# name: pictures, height, width, channels in and out, kernel size
LAYERS = {
    "first layer, 256x256": (1, 256, 256, 6, 64, 7),
    "last layer, 256x256": (1, 256, 256, 64, 3, 7),
    "block of 1024 channels, 16x16": (1, 16, 16, 1024, 1024, 3),
    "block of 1024 channels, 16x32": (1, 16, 32, 1024, 1024, 3),
    "block of 512 channels, 8x8": (1, 8, 8, 512, 512, 3),
    "block of 512 channels, 32x32": (1, 32, 32, 512, 512, 3),
    "block of 512 channels, 32x32, four pictures": (4, 32, 32, 512, 512, 3),
    "block of 256 channels, 64x64": (1, 64, 64, 256, 256, 3),
    "block of 256 channels, 64x64, four pictures": (4, 64, 64, 256, 256, 3),
    "block of 128 channels, 32x32, four pictures": (4, 32, 32, 128, 128, 3),
    "block of 128 channels, 128x128, four pictures": (4, 128, 128, 128, 128, 3),
    "block of 64 channels, 256x256": (1, 256, 256, 64, 64, 3),
    "block of 32 channels, 128x128, four pictures": (4, 128, 128, 32, 32, 3),
}
PRODUCTS = ("output", "toward the input", "toward the kernel")
COLUMNS = {
    "layer": "layer",
    "product": "product",
    "plain": "plain",
    "same": "same",
    "columns": "columns",
    "products": "products",
    "winograd": "winograd",
    "shifts": "shifts",
    "strips": "strips",
    "chosen": "chosen",
}


@dataclass(frozen=True)
class Options:
    """Time the forms of a convolution on this CPU."""

    layers: tuple[str, ...] = ()
    """Only layers whose names begin with one of these (default: all)."""
    seconds: float = 0.3
    """Seconds for which each form is repeated."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def _seconds(function: Callable[..., Any], arguments: tuple[Any, ...], at_least: float) -> float:
    import jax

    compiled = jax.jit(function).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    samples, begin = [], time.perf_counter()
    while len(samples) < 3 or time.perf_counter() - begin < at_least:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def _forms(kernel: tuple[int, ...]) -> dict[str, dict[str, Callable[..., Any]]]:
    """The forms of each product: (x, kernel) or (x, dy, kernel) -> array; x is not padded."""
    import jax
    import jax.numpy as jnp

    from motion_jax.nets import conv_accelerator, conv_cpu, winograd

    k, _, inputs, outputs = kernel
    around = ((0, 0), (k // 2,) * 2, (k // 2,) * 2, (0, 0))

    def padded(x):
        return jnp.pad(x, around, mode="reflect")

    def on(form):
        return lambda x, kernel: form(padded(x), kernel)

    output = {
        "plain": conv_accelerator.conv_reflect,
        "same": on(conv_cpu._same),
        "columns": on(conv_cpu._columns),
        "chosen": conv_cpu.conv_reflect,
    }
    if k == 3:
        output["products"] = conv_cpu._reflect_products
        output["winograd"] = on(partial(winograd.convolution, padding=0))

    def toward_input(form):
        def pull(x, dy, kernel):
            return jax.vjp(lambda x: form(x, kernel), x)[1](dy)[0]

        return pull

    def toward_kernel(form):
        def pull(x, dy, kernel):
            return jax.vjp(lambda kernel: form(x, kernel), kernel)[1](dy)[0]

        return pull

    def gradient(form):
        return lambda x, dy, kernel: form(padded(x), dy, k)

    def strips(x, dy, kernel):
        return conv_cpu._strips_gradient(padded(x), dy, kernel)

    kernels = {
        "plain": toward_kernel(conv_accelerator.conv_reflect),
        "strips": strips,
        "chosen": toward_kernel(conv_cpu.conv_reflect),
    }
    if min(inputs, outputs) >= 32:
        kernels["columns"] = toward_kernel(output["columns"])
        kernels["shifts"] = gradient(conv_cpu._shifts_gradient)
    if k == 3:
        kernels["winograd"] = toward_kernel(output["winograd"])
    return {
        "output": {name: lambda x, dy, w, f=form: f(x, w) for name, form in output.items()},
        "toward the input": {
            name: toward_input(form) for name, form in output.items() if name != "products"
        },
        "toward the kernel": kernels,
    }


def measure(options: Options) -> dict[str, Any]:
    """{rows: one for each layer and product, GFLOP/s by form}."""
    import jax
    import numpy as np

    from motion_jax.progress import say

    if jax.default_backend() != "cpu":
        raise UserError("This benchmark is about CPUs; run it with JAX_PLATFORMS=cpu.")
    wanted = [name for name in LAYERS if not options.layers or name.startswith(options.layers)]
    if not wanted:
        raise UserError(f"No layer begins with {options.layers[0]!r}; there are: {list(LAYERS)}.")
    random, rows = np.random.default_rng(0), []
    for name in wanted:
        n, height, width, inputs, outputs, k = LAYERS[name]
        draw = partial(random.standard_normal, dtype=np.float32)
        x, dy = draw((n, height, width, inputs)), draw((n, height, width, outputs))
        kernel = draw((k, k, inputs, outputs)) / 100
        gflop = 2e-9 * dy.size * inputs * k * k
        for product, forms in _forms(kernel.shape).items():
            say(f"{name}: {product}")
            taken = {f: _seconds(run, (x, dy, kernel), options.seconds) for f, run in forms.items()}
            rates = {f: round(gflop / seconds, 1) for f, seconds in taken.items()}
            rows.append({"layer": name, "product": product, "gflop": round(gflop, 3), **rates})
    return {"rows": rows}


def section(result: dict[str, Any]) -> str:
    return (
        "GFLOP/s of each form of a reflection-padded convolution, alone, float32 (in a whole step "
        "its neighbours change what it costs). `plain` is XLA's own; `chosen` is what "
        "`motion_jax/nets/conv_cpu.py` takes for that shape.\n\n"
        + markdown(result["rows"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("cpu_convolutions"):
        options = parse(Options, "cpu_convolutions", arguments)
        result = measure(options)
        title = "GFLOP/s by form"
        report(
            "cpu_convolutions",
            result,
            [table(result["rows"], COLUMNS, title=title)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
