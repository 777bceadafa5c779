"""Everybody Dance Now with networks of a few parameters, for tests."""

from dataclasses import replace

from motion_jax.recipes import everybody_dance_now as edn

SIZE = 16
GLOBAL = edn.Stage(steps=10, decay_steps=4, height=SIZE, width=SIZE, num_D=2, learning_rate=1e-3)
RECIPE = edn.EverybodyDanceNow(
    generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1, n_blocks_local=1),
    discriminator=edn.Discriminator(ndf=4, n_layers=1),
    face=edn.Face(size=8, ngf=4, n_downsampling=1, n_blocks=1, ndf=4, n_layers=1),
    losses=edn.Losses(perceptual="none", l1=5.0),
    global_stage=GLOBAL,
    face_stage=GLOBAL,
)
LOCAL = replace(RECIPE, local_stage=replace(GLOBAL, num_D=3))
