"""`motion-jax completion`: what a shell needs to complete verbs, options and configs."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tyro

# Options of the verbs whose handlers parse them by themselves, by their places in this package.
OWN = {
    "prepare": "data.prepare_options:PrepareOptions",
    "train": "cli.train:TrainOptions",
    "adapt": "train.adapt_options:AdaptOptions",
    "check": "provenance.options:CheckOptions",
    "compare": "compare.options:CompareOptions",
    "import": "port.options:ImportOptions",
    "profile": "profiling.options:ProfileOptions",
    "compile": "profiling.options:CompileOptions",
    "distill": "distill.options:DistillOptions",
    "serve": "serve.options:ServeOptions",
    "studio": "studio.options:StudioOptions",
    "demo": "demos.options:DemoOptions",
}
# Verbs whose first word is a config.
WITH_CONFIG = ("train", "profile", "compile")


@dataclass(frozen=True)
class CompletionOptions:
    """Print completions of verbs and options for a shell: eval "$(motion-jax completion bash)" in
    ~/.bashrc, the same with zsh in ~/.zshrc; for fish the output goes into a file
    ~/.config/fish/completions/motion-jax.fish."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Which shell."""


def completion(options: CompletionOptions) -> None:
    """Prints the script."""
    sys.stdout.write(script(options.shell))


def options_of(verb: str, arguments: Sequence[str] = ()) -> type:
    """The dataclass of a verb's options; of train without the config's settings. arguments: say
    which of its forms is meant, where it has several (cli.form_of)."""
    from motion_jax.cli import _PLAIN, form_of

    module, _, name = (OWN.get(verb) or _PLAIN[form_of(verb, arguments)][0]).partition(":")
    kind: Any = getattr(importlib.import_module(f"motion_jax.{module}"), name)
    return kind


def script(shell: str) -> str:
    """The completions of all verbs, for "bash", "zsh" or "fish"."""
    from motion_jax.cli import VERBS, _options
    from motion_jax.config import config_names

    words = {verb: _options(options_of(verb)) for verb in VERBS}
    drawn = _options(options_of("animate", ["--source"]))
    words["animate"] = list(dict.fromkeys([*words["animate"], *drawn]))
    configs = " ".join(config_names())
    if shell == "fish":
        lines = ["complete -c motion-jax -n __fish_use_subcommand -f"]
        for verb, what in VERBS.items():
            text = what.replace("'", "")
            lines.append(f"complete -c motion-jax -n __fish_use_subcommand -a {verb} -d '{text}'")
            seen = f"-n '__fish_seen_subcommand_from {verb}'"
            if verb in WITH_CONFIG:
                lines.append(f"complete -c motion-jax {seen} -a '{configs}'")
            lines += [f"complete -c motion-jax {seen} -l {word[2:]}" for word in words[verb]]
        return "\n".join(lines) + "\n"
    cases = []
    for verb in VERBS:
        more = f" {configs}" if verb in WITH_CONFIG else ""
        cases.append(f'        {verb}) words="{" ".join(words[verb])}{more}" ;;')
    lines = [
        *(["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []),
        "_motion_jax() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" words=""',
        '    case "${COMP_WORDS[1]}" in',
        *cases,
        "    esac",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        words="{" ".join(VERBS)}"',
        "    fi",
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        # Where no word fits, files.
        "complete -o default -F _motion_jax motion-jax",
    ]
    return "\n".join(lines) + "\n"
