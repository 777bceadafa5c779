"""Peaks of accelerators, as their makers publish them; the host CPU's, measured.

Figures are of one chip, dense (NVIDIA's tables often show twice that, with structured sparsity),
and of matrix products that accumulate in float32.
"""

import functools
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from motion_jax.errors import UserError

_GIB = 1 << 30
# What the host is measured with: side of the matrices, length of the arrays.
_MATRIX, _ARRAY = 2048, 1 << 25
_TPU = "https://docs.cloud.google.com/tpu/docs/"
_ADA = "NVIDIA Ada GPU Architecture whitepaper v2.1, appendix A"
_AMPERE = "NVIDIA Ampere GA102 GPU Architecture whitepaper v2.1, table 9"


@dataclass(frozen=True)
class Chip:
    """What a chip can do at best.

    Attributes:
      name: short, as `chip` takes it.
      peak_flops_bf16: of bfloat16 matrix products, FLOP/s (a multiply-add is two).
      peak_flops_f32: of float32 matrix products at jax's default precision, FLOP/s: TensorFloat-32
        on NVIDIA's chips, one bfloat16 pass on TPUs.
      memory_bytes: of its own memory.
      bandwidth_bytes_s: between that memory and the chip.
      source: where the figures come from.
      links, link_bytes_s: to how many neighbours a TPU is linked, and bytes/s of one link, one way;
        0 where not known here.
    """

    name: str
    peak_flops_bf16: float
    peak_flops_f32: float
    memory_bytes: float
    bandwidth_bytes_s: float
    source: str
    links: int = 0
    link_bytes_s: float = 0.0

    def peak_flops(self, dtype: str) -> float:
        """The peak for networks whose convolutions compute in `dtype`."""
        return self.peak_flops_bf16 if dtype == "bfloat16" else self.peak_flops_f32

    @property
    def ridge(self) -> float:
        """FLOP/byte (bfloat16) below which memory is the limit."""
        return self.peak_flops_bf16 / self.bandwidth_bytes_s


def _chip(
    name: str,
    bf16: float,
    f32: float,
    gib: float,
    gb_s: float,
    source: str,
    links: int = 0,
    link_gb_s: float = 0.0,
) -> Chip:
    """Rates in TFLOP/s, memory in GiB, bandwidths in 10^9 bytes/s."""
    return Chip(
        name, bf16 * 1e12, f32 * 1e12, gib * _GIB, gb_s * 1e9, source, links, link_gb_s * 1e9
    )


CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        # The pages give the links' bandwidth for a whole chip, both ways together: 400, 1200 and
        # 800 GB/s over 4, 6 and 4 links. v4's is from the paper (Jouppi et al., ISCA 2023, table
        # 4: 6 links of 50 GB/s), which the page's 24 TB/s across the middle of a pod agrees with.
        _chip("v4", 275, 275, 32, 1200, _TPU + "v4", 6, 50),
        _chip("v5e", 197, 197, 16, 819, _TPU + "v5e", 4, 50),
        _chip("v5p", 459, 459, 95, 2765, _TPU + "v5p", 6, 100),
        _chip("v6e", 918, 918, 32, 1638, _TPU + "v6e", 4, 100),
        _chip("A100-40GB", 312, 156, 40, 1555, "NVIDIA A100 datasheet"),
        _chip("A100", 312, 156, 80, 2039, "NVIDIA A100 80GB datasheet, SXM"),
        _chip("H100-PCIe", 756, 378, 80, 2000, "NVIDIA H100 datasheet, PCIe, without sparsity"),
        _chip("H100", 989.5, 494.5, 80, 3350, "NVIDIA H100 datasheet, SXM, without sparsity"),
        _chip("H200", 989.5, 494.5, 141, 4800, "NVIDIA H200 datasheet, SXM, without sparsity"),
        _chip("B200", 2250, 1100, 180, 7700, "NVIDIA HGX B200 datasheet, without sparsity"),
        _chip("L4", 121, 60, 24, 300, "NVIDIA L4 datasheet, without sparsity"),
        _chip("L40S", 362, 183, 48, 864, "NVIDIA L40S datasheet, without sparsity"),
        _chip("RTX 3090", 71, 35.6, 24, 936, _AMPERE),
        _chip("RTX 4090", 165.2, 82.6, 24, 1008, _ADA),
    )
}

# What jax calls them (Device.device_kind); the first that is found counts.
_KINDS = (
    (r"TPU v4", "v4"),
    (r"TPU v5 ?(lite|e)", "v5e"),
    (r"TPU v5", "v5p"),
    (r"TPU v6", "v6e"),
    (r"A100.*40GB", "A100-40GB"),
    (r"A100", "A100"),
    (r"H100 PCIe", "H100-PCIe"),
    (r"H100", "H100"),
    (r"H200", "H200"),
    (r"B200", "B200"),
    (r"L40S", "L40S"),
    (r"L4\b", "L4"),
    (r"RTX 3090", "RTX 3090"),
    (r"RTX 4090", "RTX 4090"),
)


def chip(name: str) -> Chip:
    """A chip of the table by its name, in any case. Raises UserError for one that is not in it."""
    for known, found in CHIPS.items():
        if known.lower() == name.lower():
            return found
    raise UserError(f"The table of chips has no {name!r}; it has {', '.join(CHIPS)}.")


def chip_of(device: Any) -> Chip | None:
    """The table's chip of a jax device; None for a CPU and for what the table does not know."""
    if device.platform == "cpu":
        return None
    for pattern, name in _KINDS:
        if re.search(pattern, device.device_kind):
            return CHIPS[name]
    return None


@functools.cache
def measure_host() -> Chip:
    """This machine's CPU, measured through jax: matrix products of 2048x2048 in float32 and in
    bfloat16, and adding one array of 128 MB to another for the memory. Takes a few seconds; run
    nothing else meanwhile.
    """
    with jax.default_device(jax.devices("cpu")[0]):
        product = jax.jit(lambda a, b: a @ b)
        # In place: otherwise the system's clearing of new pages is measured.
        total = jax.jit(lambda a, b: a + b, donate_argnums=0)
        flops = {}
        for dtype in (jnp.float32, jnp.bfloat16):
            a = jnp.ones((_MATRIX, _MATRIX), dtype)

            def square(_: jax.Array, a: jax.Array = a) -> jax.Array:
                return product(a, a)

            flops[dtype] = 2 * _MATRIX**3 / _fastest(square, a)
        b = jnp.ones(_ARRAY, jnp.float32)
        seconds = _fastest(lambda a: total(a, b), jnp.zeros_like(b))
        bandwidth = 3 * b.nbytes / seconds
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Chip(
        name=f"{cpu_model()} ({cores} cores)",
        peak_flops_bf16=flops[jnp.bfloat16],
        peak_flops_f32=flops[jnp.float32],
        memory_bytes=float(memory),
        bandwidth_bytes_s=bandwidth,
        source="measured on this machine (matrix products, adding one long array to another)",
    )


def cpu_model() -> str:
    """As the operating system names it."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _fastest(call: Callable[[Any], Any], value: Any, repeats: int = 7) -> float:
    """Seconds of the fastest of some calls, each with the result of the one before, after one that
    compiles."""
    value = call(value).block_until_ready()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        value = call(value).block_until_ready()
        times.append(time.perf_counter() - begun)
    return min(times)
