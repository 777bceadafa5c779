"""Which command makes sense after another one: the last line of each verb."""

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

# More corrections than these are not read at the end of a command; people.json has all moments.
CORRECTIONS = 4


def next_command(verb: str, options: Any, result: Any = None) -> str:
    """The command, in words of the shell, with a remark in brackets where it needs one; "" where
    none follows: `prepare` and `suggest` say what they recommend, `serve` and `studio` what to do
    while they serve; of `completion`, `jobs` and `check` the answer is all.

    Args:
      options: those of the verb that is done; result: what its function returned.
    """
    after = _AFTER.get(verb)
    return after(options, result) if after else ""


def command(*words: str | Path) -> str:
    """Words in capitals stand for what the reader must choose."""
    return " ".join(["motion-jax", *(shlex.quote(str(word)) for word in words)])


def _after_people(options: Any, result: Any) -> str:
    """Whom to prepare; where it is not certain who is who, how to look and correct that first."""
    from motion_jax.pose.people.sheet import PICTURE, REPORT

    person = result[0] if result else "A"
    kept: list[str | Path] = []
    # The letters are those of this stretch, so corrected.
    for name in ("start", "end", "fps", "video_track", "poses", "boxes", "same", "at"):
        value = getattr(options, name)
        if value not in (None, ()):
            words = value if isinstance(value, tuple) else (value,)
            kept += [f"--{name.replace('_', '-')}", *map(str, words)]
    prepare = command("prepare", options.video, "--person", person, *kept, "--out", "DATASET")
    try:
        report = json.loads((options.out / REPORT).read_text())
    except OSError:
        return prepare
    if not report["unsure"]:
        return prepare
    ways = _corrections(report)
    otherwise = f"   (if not, give people again with {' or '.join(ways)})" if ways else ""
    picture = shlex.quote(str(options.out / PICTURE))
    return f"look at {picture}; if each row shows one person: {prepare}{otherwise}"


def _corrections(report: dict[str, Any]) -> list[str]:
    """For what a report of people is unsure of, options that correct it, in words."""
    spans = {person["name"]: person["seen_seconds"] for person in report["people"]}

    def together(one: str, other: str) -> bool:
        return any(a <= d and c <= b for a, b in spans[one] for c, d in spans[other])

    ways: list[str] = []
    for doubt in report["unsure"]:
        there = [name for name in doubt["people"] if name in spans]
        for one, other in itertools.combinations(there, 2):
            # Who is seen at the same time is refused as one person.
            if not together(one, other):
                ways.append(f"--same {one},{other} (they are one person)")
            ways.append(
                f"--at {other}={doubt['seconds']:.2f}s,X,Y (pixels of the video: {other} is there)"
            )
    return list(dict.fromkeys(ways))[:CORRECTIONS]


def _after_import_data(options: Any, _: Any) -> str:
    return command("train", "CONFIG", "--data", options.out, "--run", "RUN", "--dry-run")


def _after_pair(options: Any, _: Any) -> str:
    return command("train", options.kind, "--data", options.out, "--run", "RUN")


def _recipe(run: Path) -> Any:
    """That of a run, or of RUN:WHO; None where there is no run."""
    from motion_jax.files import parted
    from motion_jax.train.run import read_config

    config = read_config(parted(run)[0])
    return None if config is None else config.recipe


def _of_one(run: Path) -> str:
    """A run as what makes pictures takes it: of one that knows several people RUN:WHO."""
    from motion_jax.files import parted

    recipe = _recipe(run)
    several = recipe is not None and recipe.identities > 1 and parted(run)[1] is None
    return f"{run}:WHO" if several else str(run)


def _shown(run: Path, *more: str) -> str:
    """The command that shows what a run can do. more: words for transfer."""
    recipe = _recipe(run)
    if recipe is not None and recipe.detects:
        return command("check", "FILE", "--detector", run)
    if recipe is not None and recipe.wants_photo:
        words = ("--run", run, "--photo", "PHOTO", "--driving", "VIDEO", "--out", "OUT.mp4")
        return command("animate", *words)
    if recipe is not None and recipe.name == "face_style":
        return command("stylise", "--run", run, "--source", "VIDEO", "--out", "OUT.mp4")
    if recipe is not None and recipe.name == "pose_stylegan":
        whom = ("--run", run, "--character", "1", "--source", "VIDEO")
        return command("animate", *whom, "--out", "OUT.mp4")
    if recipe is not None and set(recipe.shows) == {"noise"}:
        if not recipe.takes_dataset:  # made-up characters
            return command("animate", "--run", run, "--source", "VIDEO", "--out", "OUT.mp4")
        return command("factors", run, "--out", "FOLDER")
    drawn = ("--run", _of_one(run), "--source", "VIDEO", "--out", "OUT.mp4")
    return command("transfer", *drawn, *more)


def _after_train(options: Any, _: Any) -> str:
    recipe = _recipe(options.run)
    if recipe is not None and recipe.detects:
        return command("evaluate", "--run", options.run)
    if recipe is not None and (recipe.name == "pose_stylegan" or not recipe.paired):
        # There is no true frame to compare with.
        return _shown(options.run, "--side-by-side")
    return command("evaluate", "--run", options.run)


def _after_transfer(options: Any, _: Any) -> str:
    if options.run is not None:
        who = options.identity
        run = options.run if who is None else f"{options.run}:{who.replace(',', '+')}"
        return command("evaluate", "--run", run, "--source", options.source)
    if options.data is None:
        return ""
    words = ("--target", options.data, "--source", options.source, "--out", "FOLDER")
    return command("compare", *words)


def _after_evaluate(options: Any, result: Any) -> str:
    from motion_jax.evaluate.report import recognised

    methods = (result or {}).get("methods")  # none with --step all
    if methods:
        first, real = next(iter(methods.values())), result.get("reestimated_real") or {}
        # Where nobody is found in the true frames either, the detector fails and not the run.
        if recognised(first, real) is False and real.get("person_found") != 0:
            return _better(options.run, result)
    return _shown(options.run, "--side-by-side")


def _better(run: Path, result: Any) -> str:
    """What to do instead of showing a run in whose pictures nobody is recognised."""
    recipe = _recipe(run)
    if result.get("go_on"):
        return result["go_on"] + "   (nobody is recognised yet: the run is not at its end)"
    if recipe is not None and recipe.wants_photo:
        return _shown(run, "--side-by-side")
    words = ("--method", "nearest", "--data", result["data"], "--source", "VIDEO")
    remark = "   (real frames instead: nobody is recognised in those of the run)"
    return command("transfer", *words, "--out", "OUT.mp4") + remark


def _after_compare(options: Any, result: Any) -> str:
    chosen = (result or {}).get("recommendation") or {}
    best = next(iter(chosen.get("pose") or chosen.get("person") or ()), None)
    row = (result or {}).get("methods", {}).get(best, {})
    if best is None:
        return ""
    to = ("--source", options.source, "--out", "OUT.mp4", "--side-by-side")
    if "run" in row:
        return command("transfer", "--run", row["run"], *to)
    return command("transfer", "--method", best, "--data", options.target, *to)


def _after_import(options: Any, _: Any) -> str:
    return _shown(options.run, *([] if options.data else ["--normalize", "none"]))


def _after_export_data(options: Any, _: Any) -> str:
    words = ("import", "CHECKPOINTS", "--run", "RUN", "--data", options.data)
    return command(*words) + "   (once the original program has trained on these folders)"


def _after_animate(options: Any, _: Any) -> str:
    if hasattr(options, "character"):
        words = ("--method", "rig", "--character", "SEED", "--source", options.source)
        return (
            command("animate", *words, "--out", "OUT.mp4") + "   (the same dance, by a paper doll)"
        )
    words = ("--run", options.run, "--photo", "PHOTO", "--driving", options.driving)
    return command("animate", *words, "--out", "OUT.mp4") + "   (the same movements, another photo)"


def _after_distill(options: Any, _: Any) -> str:
    return command("live", "--run", options.run)


def _after_live(options: Any, result: Any) -> str:
    run = options.run[0]
    if (result or {}).get("left_out"):
        words = ("--teacher", run, "--run", "STUDENT")
        return command("distill", *words) + "   (a smaller network, which keeps up)"
    if options.record is not None:
        return ""
    return command("live", "--run", run, "--record", "OUT.mp4") + "   (keeps what is shown)"


def _after_export(options: Any, result: Any) -> str:
    if options.format == "torch" and options.run is not None and result:
        words = ("parity", result[0], options.run, "--input", "random:0")
        return command(*words, *_network(result[0])) + "   (the file and the run, layer by layer)"
    if options.format in ("torch", "safetensors") and result:
        return command("inspect", result[0])
    told = [path for path in result or () if path.suffix == ".json"]
    if told:
        return f"{told[0]} says how it is called, without motion_jax."
    return "docs/export.md shows how to run it without motion_jax."


def _network(file: Path) -> list[str]:
    """Which network of a run a file of an experiment holds, where it is not the generator."""
    from motion_jax.port.original_options import network_of
    from motion_jax.port.run_networks import FILES

    theirs = network_of(file)
    ours = [name for name, role in FILES.items() if role == theirs]
    return [] if "generator" in ours or not ours else ["--network", ours[0]]


def _after_inspect(options: Any, result: Any) -> str:
    found = result or {}
    if options.other is not None:
        if found.get("identical"):
            return ""
        a, b = (_one_file(path) for path in (options.source, options.other))
        if a is None or b is None:
            return ""
        return command("parity", a, b, "--input", "random:0")
    if found.get("kind") == "run":
        run = _of_one(options.source)
        # The files of the original programs have no place for who it is.
        form = ["--format", "onnx"] if run != str(options.source) else []
        return command("export", "--run", run, *form, "--out", "FOLDER")
    if found.get("kind") == "checkpoints" and "epoch" not in found:
        # Files that are no experiment are imported one by one.
        names = (name for name, network in found["networks"].items() if _imports(name, network))
        first = next(names, None)
        if first is None:
            return ""
        return command("import", options.source / first.partition(": ")[0], "--run", "RUN")
    networks = found.get("networks", {}).values()
    known = any(_imports(options.source.name, network) for network in networks)
    return command("import", options.source, "--run", "RUN") if known else ""


def _imports(name: str, network: Any) -> bool:
    """Whether import may take a network: its architecture is known, or its file is a checkpoint of
    the First Order Motion Model."""
    whole = name.partition(": ")[0].lower().endswith(".pth.tar")
    return bool(network.get("architecture")) or whole


def _one_file(source: Path) -> Path | str | None:
    """What parity takes of a source: a file or a run as it is, of a folder of weight files its
    generator; None where it has none."""
    if not source.is_dir() or (source / "config.json").is_file():
        return source
    found = sorted(path for path in source.glob("*_net_G*") if path.is_file())
    return next((path for path in found if path.name.startswith("latest_")), None) or next(
        iter(found), None
    )


def _after_parity(options: Any, result: Any) -> str:
    first, a, b = (result or {}).get("first"), options.a, options.b
    if first is not None:
        pair = b.suffix.lower() != ".npz"
        return command("inspect", a, b) if pair else command("inspect", a, "--layers")
    if not a.is_dir():
        return command("import", a, "--run", "RUN")
    recipe = _recipe(a)
    if recipe is not None and (recipe.name == "pose_stylegan" or not recipe.paired):
        return _shown(a)  # There is no true frame to compare with.
    known = (a / "dataset.json").is_file()  # Not of a run that was imported without one.
    return command("evaluate", "--run", a, *([] if known else ["--data", "DATASET"]))


def _after_profile(options: Any, result: Any) -> str:
    if options.compare is not None:
        return ""
    before = (result or {}).get("folder", "BEFORE")
    return command("profile", "--compare", before, "AFTER") + "   (when something has changed)"


def _after_compile(options: Any, result: Any) -> str:
    if all(stage["fits"] for stage in (result or {}).get("stages", {}).values()):
        words = ("train", options.config, "--data", "DATASET", "--run", "RUN")
        return command(*words) + "   (there; launch/README.md says how it is started)"
    words = ("compile", options.config, "--topology", options.topology, "--batch-per-chip", "1")
    return command(*words) + "   (or --recipe.dtype bfloat16, --recipe.rematerialise)"


def _after_blend(options: Any, _: Any) -> str:
    if options.method == "swap":
        return ""
    words = ("pair-faces", options.low, options.out, "--out", "DATASET")
    return command(*words) + "   (a small network for films learns from these pairs)"


def _after_pair_faces(options: Any, _: Any) -> str:
    return command("train", "face_style", "--data", options.out, "--run", "RUN")


def _after_one_style(options: Any, _: Any) -> str:
    return command("pair-faces", options.run, options.out, "--out", "DATASET")


def _after_frechet(options: Any, _: Any) -> str:
    return command("factors", options.run, "--out", "FOLDER")


def _after_stylise(options: Any, _: Any) -> str:
    return command("export", "--run", options.run, "--format", "onnx", "--out", "FOLDER")


def _after_project(options: Any, _: Any) -> str:
    return command("factors", options.run, "--out", "FOLDER") if options.space != "factors" else ""


def _after_encoder(options: Any, _: Any) -> str:
    words = ("PICTURE", "--run", options.run, "--encoder", options.out, "--space", "w_plus")
    return command("project", *words, "--out", "FOLDER")


def _after_factors(options: Any, _: Any) -> str:
    words = ("PICTURE", "--run", options.run, "--space", "factors", "--out", "FOLDER")
    return command("project", *words)


def _after_fetch(options: Any, _: Any) -> str:
    return command("train", "everybody_dance_now", "--data", "DATASET", "--run", "RUN")


def _after_demo(options: Any, _: Any) -> str:
    return command("prepare", "VIDEO", "--out", "DATASET") + "   (a film of your own)"


_AFTER: dict[str, Callable[[Any, Any], str]] = {
    "people": _after_people,
    "import-data": _after_import_data,
    "export-data": _after_export_data,
    "pair": _after_pair,
    "train": _after_train,
    "adapt": _after_train,
    "transfer": _after_transfer,
    "evaluate": _after_evaluate,
    "compare": _after_compare,
    "animate": _after_animate,
    "distill": _after_distill,
    "live": _after_live,
    "import": _after_import,
    "export": _after_export,
    "inspect": _after_inspect,
    "parity": _after_parity,
    "profile": _after_profile,
    "compile": _after_compile,
    "blend": _after_blend,
    "project": _after_project,
    "encoder": _after_encoder,
    "one-style": _after_one_style,
    "pair-faces": _after_pair_faces,
    "frechet": _after_frechet,
    "stylise": _after_stylise,
    "factors": _after_factors,
    "fetch": _after_fetch,
    "demo": _after_demo,
}
