"""What benchmarks.loader says of each way to read, with and without augmentation."""

import pytest

from benchmarks import loader


@pytest.mark.parametrize("augment", [False, True])
def test_every_way_is_measured(augment):
    options = loader.Options(
        height=32, width=32, records=24, pairs=6, rounds=1, batch=2, augment=augment
    )
    result = loader.measure(options)
    assert set(result["rates"]) == {"ours", "device", "threads", "processes"}
    assert all(rate["median"] > 0 for rate in result["rates"].values())
    ways = [row["what"] for row in loader.rows(result)]
    assert len(ways) == 4 and any("device's memory" in way for way in ways)
    assert ("augment it" in result["parts_ms"]) == augment
    # Files of before there was such a thing still make the page.
    del result["rates"]["device"]
    assert len(loader.rows(result)) == 3 and "without augmentation" in loader.section(
        result | {"augment": False}
    )
