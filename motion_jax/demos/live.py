"""`motion-jax demo live`: without a camera. A drawn dancer's film is the camera, the demo's run is
distilled in about a minute, and 20 seconds of live pictures are written, with a page of their ages.
"""

import dataclasses
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.demos.dancers import SOURCE, TARGET, demo
from motion_jax.demos.options import DemoOptions
from motion_jax.distill.command import distill
from motion_jax.distill.options import DistillOptions
from motion_jax.live.command import live
from motion_jax.live.options import LiveOptions
from motion_jax.progress import say
from motion_jax.report import html
from motion_jax.train.checkpoint import has_checkpoint

SECONDS = 20.0
BUDGET = "20ms"
# Of each of the student's stages: about a minute on two cores.
STEPS = 120
_HEAD = ["", "p50", "p95", "p99", "most"]
# (words, key in distill.json, digits) of figures that teacher and student have.
_LESSONS = (("ms a picture", "milliseconds", 1), ("held-out PSNR, dB,", "psnr", 2))
_READING = (
    "The numbers in the corner of the camera's film are read from the finished pictures: an age "
    "goes from the moment at which a frame was due until its picture was there. The stages are "
    "work alone, their waiting left out; poses are read from files here, because drawn dancers "
    "come with theirs. A network that learned for a minute looks rough: motion-jax distill without "
    "a limit of steps learns on."
)


def demo_live(options: DemoOptions) -> dict[str, Any]:
    """Runs it; returns the figures of the live session."""
    out, run = options.out, options.out / "run"
    if not has_checkpoint(run / "checkpoints"):
        say("There is no trained run of the demo yet; it is made first.")
        demo(dataclasses.replace(options, config="demo"))
    say(f"1/2  A small {TARGET} learns from the large one")
    student = out / "live" / "student"
    taught = distill(
        DistillOptions(teacher=run, run=student, budget=BUDGET, mixed=1, step_limit=STEPS, trials=1)
    )
    say(f"2/2  {SOURCE} before the camera, for {SECONDS:g} seconds")
    return show(out, student, taught, options.mark)


def show(out: Path, run: Path, taught: dict[str, Any], mark: bool = True) -> dict[str, Any]:
    """20 seconds of live pictures of a run, and their page."""
    source, folder = out / "videos" / SOURCE, out / "live"
    found = live(
        LiveOptions(
            run=(run,),
            camera=str(source / "video.mp4"),
            poses=source / "poses",  # drawn dancers are drawn with their poses
            record=folder / "live.mp4",
            mark=mark,
            seconds=SECONDS,
            stats=folder / "stats.json",
            side_by_side=True,
            marks=True,
            window=False,
        )
    )
    _page(folder, found, taught)
    say(f"Video: {folder / 'live.mp4'}")
    say(f"Page:  {folder / 'index.html'}")
    return found


def _page(folder: Path, found: dict[str, Any], taught: dict[str, Any]) -> None:
    rows = {"from camera to screen, by marks": found["age_by_marks_ms"], **found["stages"]}
    spent = [[name, *(times.get(key) for key in _HEAD[1:])] for name, times in rows.items()]
    table = html.table(_HEAD, spent, digits=3)
    [(name, runtime)] = found["runs"].items()
    facts = {
        "frames a second": f"{found['fps']:.1f}",
        "frames passed over": found["dropped"]["all"],
        "left out for the rate": ", ".join(f"{w} at {at} s: {n}" for at, w, n in found["left_out"]),
        "runtime": f"{runtime['runtime']} ({name})",
    }
    lessons = {
        f"{what} of the {who}": f"{taught[key][who]:.{digits}f}"
        for what, key, digits in _LESSONS
        for who in ("teacher", "student")
        if who in taught.get(key, {})
    }
    sections = [
        html.section("In motion", html.video("live.mp4", "the camera's film and the result")),
        html.section(
            "Milliseconds",
            html.paragraph(_READING),
            table,
            html.facts({k: v for k, v in facts.items() if v != ""}),
        ),
    ]
    if lessons:
        head = {
            "runtime": "runtime",
            "precision": "precision",
            "milliseconds": "ms a picture",
            "psnr_to_teacher": "PSNR to the teacher, dB",
            "ssim_to_teacher": "SSIM",
        }
        made = [[row[key] for key in head] for row in taught.get("forms", ())]
        forms = html.table(list(head.values()), made, digits=3) if made else ""
        sections.append(html.section("The small network", html.facts(lessons), forms))
    document = html.page(f"Live: {SOURCE} drives {TARGET}", sections)
    files.write_text(folder / "index.html", document)
