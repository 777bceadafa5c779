"""What a number that a train step gives is, for the guard and for the run's page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Attributes:
    role: whose loss it is: "generator" or "discriminator" (which the guard watches), or another
      word. Those of one role are drawn in one chart.
    """

    role: str


GENERATOR, DISCRIMINATOR = Metric("generator"), Metric("discriminator")


def named(metric: Metric, *names: str) -> dict[str, Metric]:
    """Several of a kind, by name."""
    return dict.fromkeys(names, metric)
