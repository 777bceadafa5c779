"""What both sides of benchmarks.stylegan2 train with: rosinality's settings. A step in every so
many has the penalty, and so many the path length."""

SETTINGS = {
    "rate": 2e-3, "r1": 10.0, "r1_every": 16, "path": 2.0, "path_every": 4, "path_shrink": 2,
    "mixing": 0.9, "averaging": 0.5 ** (32 / 10_000),
}  # fmt: skip
