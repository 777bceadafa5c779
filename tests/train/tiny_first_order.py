"""A First Order Motion Model that trains in no time."""

from motion_jax.recipes.first_order import (
    DenseMotion,
    Detector,
    Discriminator,
    FirstOrder,
    Generator,
    Losses,
    Stage,
)

RECIPE = FirstOrder(
    detector=Detector(points=3, expansion=2, most=4, halvings=1, scale=0.5, padding=3),
    motion=DenseMotion(expansion=2, most=4, halvings=1, scale=0.5),
    generator=Generator(expansion=2, most=4, halvings=1, residuals=1),
    discriminator=Discriminator(expansion=2, most=4, blocks=1, spectral=True, points=True),
    losses=Losses(perceptual="none", l1=10.0, scales=(1.0, 0.5), gan=1.0, feature_matching=(10.0,)),
    main_stage=Stage(steps=3, milestones=(2,), height=32, width=32, batch_size=2),
)
