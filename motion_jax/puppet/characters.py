"""The two dancers: what sets one apart from the other. Lengths are shares of the frame's height."""

from dataclasses import dataclass

Colour = tuple[int, int, int]


def toned(colour: Colour, share: float) -> Colour:
    """A colour with this share of its brightness."""
    red, green, blue = colour
    return int(share * red), int(share * green), int(share * blue)


@dataclass(frozen=True)
class Puppet:
    """A drawn dancer and the place where it dances.

    Lengths are shares of the frame's height, colours RGB 0...255. Patterns of the clothes are
    "plain", "stripes", "plaid", "dots" or "denim" (see sprites.py).
    """

    name: str
    # Limbs
    thigh: float
    shin: float
    ankle: float  # of the ankle above the floor
    torso: float  # middle of the hips to neck
    shoulder: float  # neck to shoulder joint
    hip: float  # middle to hip joint
    neck: float  # neck to the middle of the head
    upper_arm: float
    forearm: float
    hand: float
    foot: float
    # Widths (radii)
    head_height: float
    head_width: float
    arm_width: float
    leg_width: float
    waist: float
    # Colours and clothes
    skin: Colour
    hair: Colour
    hairstyle: str  # "bob" or "short_beard"
    eyes: Colour
    lips: Colour
    shirt: Colour
    shirt_second: Colour
    shirt_pattern: str
    sleeve: float  # share of the forearm that is covered; 0 ends above the elbow
    trousers: Colour
    trousers_second: Colour
    trousers_pattern: str
    trouser_flare: float  # width of the hem relative to the knee
    trouser_length: float  # share of the shin that is covered
    shoes: Colour
    soles: Colour
    # The place
    scene: str  # "studio" or "stage"
    light: tuple[float, float, float]  # of the place, by which the dancer's colours are multiplied

    @property
    def leg(self) -> float:
        """Length of the leg, hip to ankle."""
        return self.thigh + self.shin


CHARACTERS = {
    "ada": Puppet(
        name="ada",
        thigh=0.162, shin=0.153, ankle=0.028, torso=0.186, shoulder=0.061, hip=0.037, neck=0.107,
        upper_arm=0.101, forearm=0.092, hand=0.047, foot=0.068,
        head_height=0.082, head_width=0.066, arm_width=0.0192, leg_width=0.037, waist=0.050,
        skin=(172, 112, 78), hair=(44, 28, 34), hairstyle="bob", eyes=(70, 42, 24),
        lips=(176, 48, 60), shirt=(232, 62, 60), shirt_second=(252, 240, 224),
        shirt_pattern="stripes", sleeve=0.0,
        trousers=(54, 92, 150), trousers_second=(98, 140, 196), trousers_pattern="denim",
        trouser_flare=1.30, trouser_length=0.82, shoes=(250, 248, 244), soles=(240, 120, 90),
        scene="studio", light=(1.02, 1.0, 0.96),
    ),
    "ben": Puppet(
        name="ben",
        thigh=0.186, shin=0.182, ankle=0.028, torso=0.196, shoulder=0.072, hip=0.038, neck=0.100,
        upper_arm=0.124, forearm=0.112, hand=0.048, foot=0.078,
        head_height=0.069, head_width=0.054, arm_width=0.0215, leg_width=0.034, waist=0.053,
        skin=(240, 196, 166), hair=(196, 92, 36), hairstyle="short_beard", eyes=(52, 110, 140),
        lips=(190, 104, 96), shirt=(40, 128, 88), shirt_second=(236, 196, 72),
        shirt_pattern="plaid", sleeve=0.88,
        trousers=(74, 66, 82), trousers_second=(92, 84, 102), trousers_pattern="plain",
        trouser_flare=0.80, trouser_length=0.96, shoes=(232, 168, 44), soles=(250, 244, 230),
        scene="stage", light=(1.0, 0.99, 1.03),
    ),
}  # fmt: skip
