"""The command `motion-jax`: each verb is a dataclass of options and a function."""

import contextlib
import functools
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError, worded
from motion_jax.events import Observer, watched

VERBS = {
    "prepare": "turn videos of one person into a dataset of poses and frames",
    "import-data": "turn another project's folders or a skeleton video into a dataset",
    "people": "who is in a video: everybody kept apart, on a sheet with letters",
    "pair": "pair two people's frames by pose, for pose2pics and pics2pics",
    "export-data": "write a dataset as the folders that the original programs read",
    "train": "train a config on a dataset; run it again to go on",
    "adapt": "train a new person from little film, beginning with another run's weights",
    "transfer": "make the trained person move like the person in a video",
    "animate": "make a photo, or a drawn character, move like a video",
    "stylise": "draw every face of a video as a run draws faces",
    "distill": "train a small network on a large one's pictures, within a budget of ms",
    "live": "a camera drives the trained person, while it happens",
    "serve": "answer other programs with pictures: HTTP, WebSocket, RunwayML's protocols",
    "check": "say what a film or picture tells of where it comes from",
    "evaluate": "measure a trained run on held-out frames",
    "compare": "several methods on the same videos under one budget, in one table",
    "import": "make a run of the weights of an original PyTorch experiment",
    "export": "write a run's networks as torch, safetensors, orbax, stablehlo or onnx",
    "inspect": "show what weight files, checkpoints and runs hold, or how two differ",
    "parity": "run two networks layer by layer and name the first that differs",
    "profile": "show where a training step's time and memory go",
    "compile": "compile a training step for TPUs or cards that you do not have: does it fit",
    "blend": "put two generators of StyleGAN2 together: shapes of one, drawing of the other",
    "project": "find the latents with which a generator of StyleGAN2 makes given pictures",
    "encoder": "train an encoder that answers pictures with a generator of StyleGAN2's latents",
    "factors": "directions in which a generator of StyleGAN2's pictures change most, on a sheet",
    "frechet": "how far a generator's pictures are from a dataset's (FID, FD-R50)",
    "one-style": "teach a generator of StyleGAN2 the style of one picture",
    "pair-faces": "pairs of a photo and a drawing by two generators, to train face_style on",
    "fetch": "download weights that some configs need (vgg19)",
    "suggest": "what to train on a dataset on this machine: three choices, by time",
    "studio": "all of it on a page in the browser, from a film to a dance",
    "jobs": "the studio's jobs: list them, stop one, let it go on",
    "demo": "the whole job on two drawn dancers, in minutes",
    "completion": "print completions of verbs and options for bash, zsh or fish",
}


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb.ljust(width)}  {what}" for verb, what in VERBS.items())
    return (
        "usage: motion-jax VERB [options]\n\nMake a person in one video move like the person in "
        f"another.\n\n{verbs}\n\nmotion-jax VERB --help explains the options of a verb.\n"
        "motion-jax --events FILE VERB ... also writes what happens into FILE, as lines of JSON."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a verb. Exit status: 0 done, 1 an answer that is no (compile: it does not fit), 2 bad
    input, 130 stopped by Ctrl-C, 143 by SIGTERM; those of train: docs/scale.md."""
    from motion_jax.cli.ending import after_ctrl_c

    with after_ctrl_c(whole_process=arguments is None) as noted:
        _run(list(sys.argv[1:] if arguments is None else arguments), noted.hear_sigterm)


def _run(arguments: list[str], hear_sigterm: Callable[[], None]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0 if arguments else 2)
    if arguments[0] in ("-V", "--version"):
        from motion_jax import __version__

        print(f"motion-jax {__version__}")
        return
    from motion_jax.cli.environment import settle

    settle()
    try:
        events, (verb, *rest) = _events_file(arguments)
        if verb not in VERBS:
            raise UserError(f"There is no verb {verb!r}; {_near(verb)}")
        # Before jaxlib is loaded: left alone, it would take the signal and print a stack trace. Who
        # saves or serves answers it in the place of this while it does, and so does jax itself
        # where several processes train together.
        hear_sigterm()
        with _observed(events) as observer, watched(observer):
            _HANDLERS[verb](rest)
    except UserError as error:
        sys.stdout.flush()
        print(f"motion-jax: error: {worded(error.marked)}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output went away (`motion-jax … | head`).
        sys.stderr.close()
        sys.exit(141)


def _events_file(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The file of `--events FILE`, which stands before the verb, and the verb with its options."""
    first, *rest = arguments
    if first.startswith("--events="):
        place, words = first.partition("=")[2], rest
    elif first == "--events":
        place, words = (rest or [""])[0], rest[1:]
    else:
        return None, arguments
    if not place or not words:
        raise UserError("--events wants a file and then a verb: motion-jax --events FILE VERB ...")
    return Path(place), words


@contextlib.contextmanager
def _observed(events: Path | None) -> Iterator[Observer]:
    """What is told of a command's work: the terminal, and the events file where there is one."""
    if events is None:
        yield _terminal()
        return
    from motion_jax.jobs.record import recorded

    with recorded(events, _terminal()) as recorder:
        yield recorder


def _terminal() -> Observer:
    """Shows what happens; rich, which takes time to import, comes with the first event."""

    @functools.cache
    def terminal() -> Observer:
        from motion_jax.cli.terminal import Terminal

        return Terminal()

    return lambda event: terminal()(event)


def _near(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, VERBS, 1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(VERBS)}."


def parse(kind: type, verb: str, arguments: list[str], **settings: Any) -> Any:
    """Options of a verb; an unknown one is a UserError that suggests the right one."""
    options, unknown = _parse(kind, verb, arguments, **settings)
    if unknown:
        raise UserError(_unknown(kind, verb, unknown[0]))
    return options


def _parse(kind: type, verb: str, arguments: list[str], **settings: Any) -> tuple[Any, list[str]]:
    """Options of a verb, and the arguments that are none of them."""
    import inspect

    import tyro

    from motion_jax.parsing import one_sentence, plain_kinds, wrapped

    if _asks_help(arguments):
        settings.setdefault("description", wrapped(inspect.getdoc(kind) or ""))
    with one_sentence(verb, arguments):
        return tyro.cli(
            kind,
            prog=f"motion-jax {verb}",
            args=arguments,
            return_unknown_args=True,
            registry=plain_kinds(arguments),
            **settings,
        )


def _unknown(kind: type, verb: str, word: str) -> str:
    import difflib

    if not word.startswith("-"):
        return f"{word!r} is one argument too many; see motion-jax {verb} --help."
    near = difflib.get_close_matches(word.split("=")[0], _options(kind), 1)
    hint = f"did you mean {near[0]}?" if near else f"see motion-jax {verb} --help."
    return f"There is no option {word.split('=')[0]}; {hint}"


def _options(kind: Any, before: str = "--") -> list[str]:
    """The options that a dataclass makes, those of the dataclasses in it as --field.name."""
    import dataclasses
    import typing

    types, names = typing.get_type_hints(kind, include_extras=True), []
    for field in dataclasses.fields(kind):
        inner = types[field.name]
        # Annotated with tyro.conf.arg(name=…) where the name is no identifier.
        named = [
            given.name for given in getattr(inner, "__metadata__", ()) if hasattr(given, "name")
        ]
        name = before + (next(filter(None, named), None) or field.name.replace("_", "-"))
        names += _options(inner, f"{name}.") if dataclasses.is_dataclass(inner) else [name]
    return names


def _prepare(arguments: list[str]) -> None:
    from motion_jax.data.prepare_options import PrepareOptions

    options = parse(PrepareOptions, "prepare", arguments)
    from motion_jax.cli.after import command
    from motion_jax.data.prepare import prepare
    from motion_jax.plan.words import advise
    from motion_jax.progress import say

    advised = []

    def remembered(folder: Path) -> Any:
        advised.append(advise(folder))
        return advised[-1]

    prepare(options, advise=remembered)
    if options.layout == "clips":
        next_command = command("train", "first_order", "--data", options.out, "--run", "RUN")
        say(f"Next: {next_command}")
        return
    dry = command("train", "CONFIG", "--data", options.out, "--run", "RUN", "--dry-run")
    if advised or not options.shard:
        say(f"Next: {advised[-1].command if advised else dry}")


def _train(arguments: list[str]) -> None:
    from motion_jax.cli.train import run

    run(arguments)


def _compare(arguments: list[str]) -> None:
    from motion_jax.compare.options import CompareOptions

    options = parse(CompareOptions, "compare", arguments)
    from motion_jax.cli.signals import answered
    from motion_jax.compare.command import compare, show

    with answered():
        result = compare(options, "motion-jax compare " + shlex.join(arguments))
        show(options, result)
    _next("compare", options, result)


def _profile(arguments: list[str]) -> None:
    from motion_jax.profiling.options import ProfileOptions, split_settings

    own, settings = split_settings(arguments)
    options, rest = _parse(ProfileOptions, "profile", own)
    from motion_jax.profiling.profile import run

    result = run(options, [*rest, *settings], "motion-jax profile " + shlex.join(arguments))
    _next("profile", options, result)


def _compile(arguments: list[str]) -> None:
    from motion_jax.profiling.options import CompileOptions, split_settings

    own, settings = split_settings(arguments)
    options, rest = _parse(CompileOptions, "compile", own)
    from motion_jax.profiling.compile import run

    result = run(options, [*rest, *settings])
    _next("compile", options, result)
    if not all(stage["fits"] for stage in result["stages"].values()):
        sys.exit(1)


def _animate(arguments: list[str]) -> None:
    form = form_of("animate", arguments)
    if _asks_help(arguments):
        from motion_jax.transfer.animate_options import WAYS

        # The word that names the form needs no value here.
        parse(_named(_PLAIN[form][0]), "animate", ["--help"], description=WAYS[form])
    _plain(form, arguments, "animate")


def _asks_help(arguments: Sequence[str]) -> bool:
    return bool({"-h", "--help"} & set(arguments))


def form_of(verb: str, arguments: Sequence[str]) -> str:
    """Which of a verb's forms is meant: animate moves a photo by its keypoints, or a drawn
    character by its bones."""
    words = {argument.split("=")[0] for argument in arguments}
    drawn = verb == "animate" and words & {"--source", "--character", "--method"}
    return "animate-character" if drawn else verb


def _demo(arguments: list[str]) -> None:
    from motion_jax.demos.options import DemoOptions

    options = parse(DemoOptions, "demo", arguments)
    if options.config == "live":
        from motion_jax.demos.live import demo_live

        demo_live(options)
    elif options.config == "photo":
        from motion_jax.demos.photo import demo_photo

        demo_photo(options)
    elif options.config == "anime":
        from motion_jax.demos.anime import demo_anime

        demo_anime(options)
    else:
        from motion_jax.demos.dancers import demo
        from motion_jax.progress import say
        from motion_jax.studio.adopt import adopt_demo

        demo(options)
        studio = shlex.quote(str(adopt_demo(options.out)))
        say(f"The demo on a page: motion-jax studio --projects {studio}")
    _next("demo", options)


def _distill(arguments: list[str]) -> None:
    from motion_jax.distill.options import DistillOptions

    options = parse(DistillOptions, "distill", arguments)
    from motion_jax.cli.signals import answered
    from motion_jax.distill.command import distill

    with answered():
        distill(options, command="motion-jax distill " + shlex.join(arguments))
    _next("distill", options)


def _adapt(arguments: list[str]) -> None:
    from motion_jax.train.adapt_options import AdaptOptions

    options = parse(AdaptOptions, "adapt", arguments)
    from motion_jax.cli.signals import answered
    from motion_jax.train.adapt import adapt

    with answered():
        adapt(options, command="motion-jax adapt " + shlex.join(arguments))
    _next("adapt", options)


def _check(arguments: list[str]) -> None:
    from motion_jax.provenance.options import CheckOptions

    options = parse(CheckOptions, "check", arguments)
    from motion_jax.provenance.check import check, lines, pictures_of

    found = check(options)
    if options.detector is not None:
        from motion_jax.evaluate.detector import ask

        found["detector"] = ask(options.detector, list(pictures_of(options)))
    if options.json:
        import json

        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines(found)))
    if not found["synthetic"]:
        sys.exit(1)


def _serve(arguments: list[str]) -> None:
    from motion_jax.serve.options import ServeOptions

    options = parse(ServeOptions, "serve", arguments)
    with _extra("serve", "Serving"):
        from motion_jax.serve.command import serve
    serve(options)


def _studio(arguments: list[str]) -> None:
    from motion_jax.studio.options import StudioOptions

    options = parse(StudioOptions, "studio", arguments)
    with _extra("studio", "The studio"):
        from motion_jax.studio.command import studio
    studio(options, _named("cli.completion:options_of"), VERBS)


@contextlib.contextmanager
def _extra(name: str, what: str) -> Iterator[None]:
    """Around imports that need an extra: where it is not installed, that is said."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("motion_jax"):
            raise
        raise UserError(
            f"{what} needs the package {error.name}: pip install 'motion-jax[{name}]'."
        ) from error


def _import(arguments: list[str]) -> None:
    from motion_jax.port.options import ImportOptions

    options = parse(ImportOptions, "import", arguments)
    from motion_jax.port.import_run import import_run

    import_run(options, "motion-jax import " + shlex.join(arguments))
    _next("import", options)


# Options and function of the verbs that need nothing else, by their places in this package.
_PLAIN = {
    "people": ("pose.people.options:PeopleOptions", "pose.people.command:people"),
    "import-data": ("data.import_options:ImportOptions", "data.import_data:import_data"),
    "pair": ("pairing.options:PairOptions", "pairing.pair:pair"),
    "export-data": ("data.export_data:ExportOptions", "data.export_data:export_data"),
    "transfer": ("transfer.options:TransferOptions", "transfer.command:transfer"),
    "animate": ("transfer.animate_options:AnimateOptions", "transfer.animate:animate"),
    "animate-character": (
        "transfer.character_options:CharacterOptions",
        "transfer.characters:perform",
    ),
    "stylise": ("transfer.stylise_options:StyliseOptions", "transfer.stylise:stylise"),
    "live": ("live.options:LiveOptions", "live.command:live"),
    "evaluate": ("evaluate.options:EvaluateOptions", "evaluate.evaluate:evaluate"),
    "export": ("port.options:ExportOptions", "port.export_run:export"),
    "inspect": ("port.options:InspectOptions", "port.inspect:inspect"),
    "parity": ("port.options:ParityOptions", "port.parity:parity"),
    "blend": ("latents.options:BlendOptions", "latents.blend:blend"),
    "project": ("latents.options:ProjectOptions", "latents.project:project"),
    "encoder": ("latents.options:EncoderOptions", "latents.train_encoder:encoder"),
    "factors": ("latents.options:FactorsOptions", "latents.factors:factors"),
    "frechet": ("latents.options:FrechetOptions", "latents.distance:frechet"),
    "one-style": ("latents.options:OneStyleOptions", "latents.one_style:one_style"),
    "pair-faces": ("latents.options:PairFacesOptions", "latents.pair_faces:pair_faces"),
    "suggest": ("plan.options:SuggestOptions", "plan.choices:suggest"),
    "jobs": ("jobs.options:JobsOptions", "jobs.command:jobs"),
    "fetch": ("fetch:FetchOptions", "fetch:fetch"),
    "completion": ("cli.completion:CompletionOptions", "cli.completion:completion"),
}


def _plain(place: str, arguments: list[str], verb: str = "") -> None:
    """Options first: --help and a wrong option need not wait for the verb's imports."""
    verb = verb or place
    kind, function = _PLAIN[place]
    options = parse(_named(kind), verb, arguments)
    _next(verb, options, _named(function)(options))


def _next(verb: str, options: Any, result: Any = None) -> None:
    """Says which command makes sense after this one."""
    from motion_jax.cli.after import next_command
    from motion_jax.progress import say

    if line := next_command(verb, options, result):
        say(f"Next: {line}")


def _named(place: str) -> Any:
    import importlib

    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"motion_jax.{module}"), name)


_HANDLERS: dict[str, Callable[[list[str]], None]] = {
    **{verb: functools.partial(_plain, verb) for verb in _PLAIN if verb in VERBS},
    "animate": _animate,
    "prepare": _prepare,
    "train": _train,
    "compare": _compare,
    "import": _import,
    "profile": _profile,
    "demo": _demo,
    "distill": _distill,
    "check": _check,
    "adapt": _adapt,
    "serve": _serve,
    "studio": _studio,
    "compile": _compile,
}
