"""The HTML page of a run: what is trained, how far it is, what it looks like."""

import json
from pathlib import Path

from motion_jax.recipes.base import Recipe
from motion_jax.report import html
from motion_jax.report.charts import chart
from motion_jax.train.record import read_metrics


def write_page(folder: Path, recipe: Recipe) -> Path:
    """Writes RUN/report/index.html from what the run directory holds, and returns its path.

    recipe: the run's; says what its metrics are.
    """
    folder = Path(folder)
    target = folder / "report" / "index.html"
    config = json.loads((folder / "config.json").read_text())
    versions = json.loads((folder / "versions.json").read_text())
    dataset = folder / "dataset.json"
    data = {}
    if dataset.is_file():
        known = json.loads(dataset.read_text())
        data = {"dataset": f"{known['path']} ({known['frames']} frames)"}
    rows = read_metrics(folder)
    sections = []
    if rows:
        last = rows[-1]
        state = {
            "stage": last["stage"],
            "step in the stage": last["step"],
            "steps in all": last["total_step"],
            "images seen": last["images"],
            "hours": last["seconds"] / 3600,
            "images/s": last["images_per_second"],
            "waiting for input": f"{100 * last['input_wait']:.1f} %",
        }
        sections.append(html.section("Where it is", html.facts(state | data)))
    pictures = sorted((folder / "samples").glob("step-*.png"))
    if pictures:
        shown = [html.image(pictures[-1], f"{pictures[-1].stem}, held-out poses")]
        video = pictures[-1].with_suffix(".mp4")
        if video.is_file():
            shown.append(html.video(f"../samples/{video.name}", "the same poses in motion"))
        sections.append(html.section("Samples", *shown))
        before = [html.details(each.stem, html.image(each, each.stem)) for each in pictures[-7:-1]]
        if before:
            sections.append(html.section("Before", *before))
    charts = []
    metrics = {n: each for stage in recipe.stages() for n, each in recipe.metrics(stage).items()}
    for role in dict.fromkeys(each.role for each in metrics.values()):
        series: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {}
        for name in (name for name, each in metrics.items() if each.role == role):
            known = [row for row in rows if isinstance(row.get(name), float)]
            if len(known) > 1:
                steps = tuple(row["total_step"] for row in known)
                series[name] = steps, tuple(row[name] for row in known)
        title = role.capitalize()
        if series:
            charts.append(
                chart(series, title, x_label="step over all stages", y_label="loss", log=True)
            )
    if charts:
        sections.append(html.section("Losses", *charts))
    command = folder / "command.txt"
    sections.append(
        html.section(
            "What it is",
            html.preformatted(command.read_text() if command.is_file() else ""),
            html.details("config.json", html.preformatted(json.dumps(config, indent=2))),
            html.details("versions.json", html.preformatted(json.dumps(versions, indent=2))),
        )
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    html.write(target, html.page(folder.resolve().name, sections, config["recipe"]["type"]))
    return target
