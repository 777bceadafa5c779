"""The benchmark of separable blocks: its variants, and what its section says."""

import pytest

from benchmarks import separable_blocks as module
from motion_jax.config import load_config
from motion_jax.errors import UserError


def test_variants_change_the_residual_blocks_alone():
    base = load_config("small")  # six blocks
    generators = {name: module.varied(base, name).recipe.generator for name in module.VARIANTS}
    assert [(g.block, g.n_blocks) for g in generators.values()] == [
        ("full", 6), ("separable", 6), ("full", 2),
    ]  # fmt: skip
    assert module.varied(base, "full") == base
    for name in module.VARIANTS:
        module.varied(base, name).validate()


def result(seeds):
    def run(variant, seed, psnr):
        metrics = dict.fromkeys(module.METRICS, 0.5) | {"psnr": psnr}
        return {"variant": variant, "seed": seed, "steps": 960, "frames": 160,
                "metrics": metrics, "nearest_frame": metrics | {"psnr": 20.0}}  # fmt: skip

    runs = [
        run(variant, seed, 25.0 + i + 0.25 * seed)
        for i, variant in enumerate(module.VARIANTS)
        for seed in range(seeds)
    ]
    return {
        "config": "demo",
        "seeds": seeds,
        "runs": runs,
        "quality": {
            variant: dict.fromkeys(module.METRICS, 0.5) | {"psnr": 25.0 + i}
            for i, variant in enumerate(module.VARIANTS)
        },
        "speed": [
            {"config": "demo", "size": "128x128", "variant": "separable", "blocks": 3,
             "parameters_m": 0.69, "gmac": 0.228, "ms": 4.0, "faster": 1.5}
        ],
    }  # fmt: skip


def test_the_section_has_every_variant_and_says_how_much_seeds_differ():
    text = module.section(result(2))
    for i, variant in enumerate(module.VARIANTS):
        assert f"| {variant} | {25 + i}.00 | 0.500 |" in text
    assert "| (nearest training frame) | 20.00 |" in text
    assert "mean of 2 seeds, 160 frames" in text and "differ by up to 0.25 dB" in text
    assert "| demo | 128x128 | separable | 0.69 | 0.228 | 4 | 1.5 |" in text
    alone = module.section(result(1) | {"speed": []})
    assert "mean of 1 seed," in alone and "differ by" not in alone and "GMAC" not in alone


def test_numbers_that_cannot_be_are_refused():
    for options in (module.Options(seeds=0), module.Options(repeats=0)):
        with pytest.raises(UserError, match="at least 1"):
            module.measure(options)
