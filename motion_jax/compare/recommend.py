"""Which of the compared methods serves best, and why, in words: from the figures of the table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from motion_jax.evaluate.report import Scores, percent, recognised
from motion_jax.plan.methods import METHODS
from motion_jax.report import html

# A person is found as often by two methods whose shares of frames are so close (a share).
AS_OFTEN = 0.05
# Poses are followed as well by two methods whose distances are so close (relative).
AS_NEAR = 0.1
# Sharpness relative to the true frames, below which pictures look blurred (a judgement).
BLURRED = 0.5


class Recommendation(TypedDict):
    """What is recommended; lists of methods in the table's order.

    person: those most like a person; pose: those that follow the pose best; nobody: those in whose
    pictures hardly anybody is recognised; blurred: those that are blurred; others: trained ones of
    no list, and `nobody`, which need more time or film.
    text: all of it, in sentences.
    """

    person: list[str]
    pose: list[str]
    nobody: list[str]
    blurred: list[str]
    others: list[str]
    text: str


def recommend(result: Scores) -> Recommendation:
    """Judges the methods of a table: who looks like a person, and who follows the pose."""
    methods, real = result["methods"], result.get("reestimated_real")
    methods = {name: _in_all_pictures(figures) for name, figures in methods.items()}
    known = {name: recognised(figures, real) for name, figures in methods.items()}
    blurred = [n for n, f in methods.items() if (f.get("sharpness") or math.inf) < BLURRED]
    if all(seen is None for seen in known.values()):
        return _by_pixels(result, blurred)
    nobody = [name for name, seen in known.items() if seen is False]
    seen = {name: figures for name, figures in methods.items() if known[name]}
    person = _most_like_a_person(seen, blurred)
    pose = _nearest_to_the_pose(seen)
    others = [n for n in methods if _is_trained(n) and n not in person + pose]
    sentences = []
    if person:
        sentences.append(f"Most like a person: {_list(person, blurred)}.")
    if pose:
        off = html.format_value(seen[pose[0]]["pose_distance"])
        sentences.append(f"Follows the pose best: {_list(pose, blurred)} ({off} pixels off).")
    retrieved = [n for n in dict.fromkeys(person + pose) if not _is_trained(n)]
    if retrieved:
        sentences.append(
            f"{_and(retrieved)} show{'s' if len(retrieved) == 1 else ''} real frames, in poses "
            "that are only near."
        )
    if not seen:
        sentences.append("In the pictures of no method a person is recognised.")
    elif nobody:
        worst = max(methods[name]["person_found"] for name in nobody)
        found = "none" if worst == 0 else f"at most {percent(worst)}"
        sentences.append(f"Hardly anybody is recognised in those of {_and(nobody)} ({found}).")
    if others:
        sentences.append(f"More time or more film is what {_and(others)} would need.")
    return Recommendation(
        person=person,
        pose=pose,
        nobody=nobody,
        blurred=blurred,
        others=others,
        text=" ".join(sentences),
    )


def _in_all_pictures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a method with its share of pictures that show a person meant over held-out
    frames and the dance, and with the pose distance in the dance, which is what is wanted, where
    it is known."""
    shares = [figures.get(key) for key in ("person_found", "dance_person_found")]
    there = [share for share in shares if share is not None]
    danced = figures.get("dance_pose_distance")
    return {
        **figures,
        "person_found": sum(there) / len(there) if there else None,
        "pose_distance": figures.get("pose_distance") if danced is None else danced,
    }


def _most_like_a_person(seen: Mapping[str, Mapping[str, Any]], blurred: Sequence[str]) -> list[str]:
    """Those in whose pictures a person is found most often, the sharp ones of them."""
    if not seen:
        return []
    most = max(figures["person_found"] for figures in seen.values())
    often = [n for n, figures in seen.items() if figures["person_found"] >= most - AS_OFTEN]
    return [name for name in often if name not in blurred] or often


def _nearest_to_the_pose(seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    off = {n: f["pose_distance"] for n, f in seen.items() if f.get("pose_distance") is not None}
    if not off:
        return []
    least = min(off.values())
    return [
        name for name in sorted(off, key=lambda n: off[n]) if off[name] <= (1 + AS_NEAR) * least
    ]


def _by_pixels(result: Scores, blurred: list[str]) -> Recommendation:
    """Where nobody looked for people in the pictures."""
    methods = result["methods"]
    ssim = {n: f["ssim"] for n, f in methods.items() if f.get("ssim") is not None}
    best = [max(ssim, key=lambda n: ssim[n])] if ssim else []
    why = result.get("absent", {}).get("person_found", "nobody looked")
    text = f"Whether a person is seen in the pictures was not measured: {why}."
    if best:
        text += (
            f" By pixels {_list(best, blurred)} is nearest to the true frames (SSIM "
            f"{html.format_value(ssim[best[0]])}); look at the video before you choose."
        )
    return Recommendation(person=[], pose=best, nobody=[], blurred=blurred, others=[], text=text)


def marked(result: Scores) -> Any:
    """The same table with "(nobody seen)" behind the names of the methods that it holds for."""
    nobody = recommend(result)["nobody"]
    names = {
        name: f"{name} (nobody seen)" if name in nobody else name for name in result["methods"]
    }
    return {**result, "methods": {names[n]: f for n, f in result["methods"].items()}}


def _is_trained(name: str) -> bool:
    return name not in METHODS or METHODS[name].trained


def _list(names: Sequence[str], blurred: Sequence[str]) -> str:
    return _and([f"{name}, blurred" if name in blurred else name for name in names])


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
