"""Side-by-side measurements; `python -m benchmarks.NAME` from the top of the repository."""
