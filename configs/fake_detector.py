"""Tells synthetic pictures of people from real ones: 128x128, minutes on 2 CPU cores.

Data: films or folders of pictures, real ones and those of methods, all brought to one size:
    real/PERSON.mp4, synthetic/METHOD/PERSON.mp4, and the same in test/ (what is held out):
    motion-jax import-data FOLDER --layout real-synthetic --size 128x128 --fit crop --out data/NAME
Weights: none.
Command:
    motion-jax train fake_detector --data data/NAME --run runs/NAME
    motion-jax evaluate --run runs/NAME
    motion-jax check FILE --detector runs/NAME
Result: docs/honest.md, which also says what it is not worth.
"""

from motion_jax.config import Config, Data, Record
from motion_jax.data.augment import AugmentConfig
from motion_jax.recipes.fake_detector import FakeDetector, Stage

config = Config(
    recipe=FakeDetector(
        main_stage=Stage(
            steps=1000, decay_steps=500, height=128, width=128, batch_size=8, learning_rate=5e-4
        ),
    ),
    data=Data(augment=AugmentConfig(flip=True)),
    record=Record(sample_every=500),
)
