"""How long a comparison takes on this machine, said before it begins."""

from collections.abc import Mapping
from typing import Any

from motion_jax.compare.duration import expected, parse_budget
from motion_jax.compare.options import CompareOptions
from motion_jax.plan import accelerator
from motion_jax.plan.methods import choose
from motion_jax.studio.words import Words


def takes(words: Words, values: Mapping[str, Any]) -> str:
    """All methods, compiling and scores included. values: of the form; see forms.words. Raises
    UserError for methods that are not known, and for a budget that is no time."""
    methods = choose(str(values.get("methods") or CompareOptions.methods))
    budget = parse_budget(str(values.get("budget") or CompareOptions.budget))
    trained = [method for method in methods if method.trained]
    found = expected(methods, budget, "gpu" if accelerator.is_likely() else "cpu")
    if not trained:
        return words("compare.takes.nothing", total=words.duration(found.all))
    return words(
        "compare.takes",
        total=words.duration(found.all),
        methods=len(methods),
        trained=len(trained),
        each=words.duration(budget),
        compiling=words.duration(found.compiling),
        scores=words.duration(found.scores),
    )
