"""`python -m motion_jax.cli`."""

from motion_jax.cli import main

if __name__ == "__main__":
    main()
