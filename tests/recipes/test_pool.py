"""CycleGAN's image pool against a list, as its paper keeps one."""

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.recipes import pool

SIZE, BATCH, STEPS = 3, 2, 12


def in_a_list(kept, images, key):
    """The same by Python, with the same random numbers."""
    shown = []
    for image, each in zip(images, jax.random.split(key, len(images)), strict=True):
        choice, place = jax.random.split(each)
        if len(kept) < SIZE:
            kept.append(image)
            shown.append(image)
        elif jax.random.bernoulli(choice, 0.5):
            slot = int(jax.random.randint(place, (), 0, SIZE))
            shown.append(kept[slot])
            kept[slot] = image
        else:
            shown.append(image)
    return shown


def test_the_pool_is_a_list_under_jit():
    exchange, state, kept = jax.jit(pool.exchange), pool.empty(SIZE, 2, 2), []
    older = 0
    for step in range(STEPS):
        images = jnp.arange(BATCH * 12, dtype=jnp.float32).reshape(BATCH, 2, 2, 3) + 100 * step
        key = jax.random.key(step)
        expected = in_a_list(kept, images, key)
        state, shown = exchange(state, images, key)
        np.testing.assert_array_equal(shown, np.stack(expected))
        np.testing.assert_array_equal(state["images"][: len(kept)], np.stack(kept))
        assert state["count"] == len(kept)
        older += int((np.asarray(shown) != np.asarray(images)).any((1, 2, 3)).sum())
    # Of 21 pictures that came to a full pool about half are shown later.
    assert 4 <= older <= 17


def test_a_pool_of_no_size_hands_everything_on():
    images = jnp.ones((2, 2, 2, 3))
    state, shown = pool.exchange(pool.empty(0, 2, 2), images, jax.random.key(0))
    assert shown is images and not state["count"]
