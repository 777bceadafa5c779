"""Which checkpoints of a run stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from motion_jax.train.checkpoint_record import Record


@dataclass(frozen=True)
class Keep:
    """What is never deleted.

    Attributes:
      latest: how many of the newest.
      hours: also one for every that many hours of training; 0: none.
      always: also those of these total steps (the last of each stage).
      best: also the one of each stage with the lowest "score" in its record.
    """

    latest: int = 3
    hours: float = 0.0
    always: Sequence[int] = ()
    best: bool = False

    def kept(self, records: Mapping[int, Record], before: int | None = None) -> set[int]:
        """Of these checkpoints (record by total step) the steps that stay.

        before: the newest one up to this step stays, too. A record without "seconds" or "score" is
        kept only for its step.
        """
        steps = sorted(records)
        stay = set(steps[-self.latest :]) | (set(self.always) & set(steps))
        if self.hours:
            last = None
            for step in steps:
                seconds = records[step].get("seconds")
                if seconds is not None and (last is None or seconds - last >= 3600 * self.hours):
                    stay.add(step)
                    last = seconds
        if self.best:
            best: dict[str | None, tuple[float, int]] = {}
            for step in steps:
                score, stage = records[step].get("score"), records[step].get("stage")
                # Among equals the later one.
                if score is not None and (stage not in best or score <= best[stage][0]):
                    best[stage] = score, step
            stay |= {step for _, step in best.values()}
        if before is not None:
            stay.update([step for step in steps if step <= before][-1:])
        return stay
