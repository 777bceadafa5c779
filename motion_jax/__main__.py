"""`python -m motion_jax`: the command `motion-jax`, where its script is not on the path."""

from motion_jax.start import main

if __name__ == "__main__":
    main()
