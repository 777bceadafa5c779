"""benchmarks.cards without the CUDA plugin: what it makes of the compiled programs' figures."""

import pytest

from benchmarks import cards
from motion_jax.errors import UserError


def test_growth_is_against_the_fewest_cards(monkeypatch):
    def row(case, card, count):
        assert (case, card) == ("global", "h200")
        figures = dict.fromkeys(cards.COLUMNS, count)
        return figures | {"roofline_ms": 20.0, "links_ms": count - 1.0}

    monkeypatch.setattr(cards, "_row", row)
    result = cards.measure(cards.Options(cards=(1, 4), cases=("global",)))
    found = result["cases"]["global"]
    assert found["size"] == "512x256"
    assert [row["growth"] for row in found["rows"]] == ["+0.0 %", "+15.0 %"]
    assert "### global stage, 512x256" in cards.section(result)
    assert "| 4 | 4 | 4 |" in cards.section(result)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (cards.Options(topology="v5e:2x2"), "v5e:2x2 is no card"),
        (cards.Options(topology="h200:4"), "h200:4 is no card"),
        (cards.Options(cases=("all",)), "There is no case all"),
        (cards.Options(cards=(0, 1)), "--cards must be at least 1"),
    ],
)
def test_bad_options_are_said_before_anything_is_compiled(options, sentence):
    with pytest.raises(UserError, match=sentence):
        cards.measure(options)
