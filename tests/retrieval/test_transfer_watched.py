"""`transfer` watched by another observer than the terminal, and stopped by its token."""

import numpy as np
import pytest

from motion_jax import events
from motion_jax.events import Stopped, StopToken
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions


def options(dancer, ada, out) -> TransferOptions:
    return TransferOptions(
        source=ada / "video.mp4", out=out, method="nearest", data=dancer.folder,
        poses=ada / "poses",
    )  # fmt: skip


def test_another_observer_sees_it(dancer, ada, tmp_path, capfd):
    seen, out = [], tmp_path / "out.mp4"
    assert transfer(options(dancer, ada, out), observer=seen.append) == out
    names = [event.name for event in seen if isinstance(event, events.StageBegun)]
    assert names == ["poses", "frames"]
    pictures = [event for event in seen if isinstance(event, events.PictureMade)]
    assert [event.number for event in pictures] == list(range(12))
    picture = pictures[5].picture()
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    shares = [event.share for event in seen]
    assert shares == sorted(shares) and len(set(shares)) > 10 and shares[-1] == 1.0
    assert [e.path for e in seen if isinstance(e, events.FileWritten)] == [out]
    assert seen[-1] == events.Done("transfer", out, share=1.0)
    assert capfd.readouterr() == ("", "")


def test_a_token_stops_it_and_no_film_is_left(dancer, ada, tmp_path):
    stop, out = StopToken(), tmp_path / "out" / "out.mp4"

    def watch(event):
        if isinstance(event, events.PictureMade) and event.number == 4:
            stop.stop("the page")

    with pytest.raises(Stopped, match="Stopped by the page"):
        transfer(options(dancer, ada, out), observer=watch, stop=stop)
    assert not out.exists() and not list(tmp_path.rglob("*partial*"))
    assert transfer(options(dancer, ada, out)) == out and out.is_file()
