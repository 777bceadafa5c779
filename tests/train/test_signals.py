"""What is said, and asked of the work, when a signal comes."""

import os
import signal

import pytest

from motion_jax.cli.signals import Signals
from motion_jax.events import Stoppable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_second_ctrl_c_is_spoken_of_after_the_first_only(number, capfd):
    before, seen = signal.getsignal(number), []
    with Signals(seen.append) as signals:
        # Only who says so answers a stop; until then signals act as usual.
        assert signal.getsignal(number) is before
        signals(Stoppable(1))
        assert not signals.stop.asked
        os.kill(os.getpid(), number)
        assert signals.stop.asked and signals.stop.reason == number.name
    err = capfd.readouterr().err
    assert "Stopping after this step and saving" in err
    assert ("a second Ctrl-C stops at once" in err) == (number == signal.SIGINT)
    assert signals.status(75) == (130 if number == signal.SIGINT else 75)
    assert signal.getsignal(number) is before and seen == [Stoppable(1)]


def test_of_several_processes_jax_takes_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    with Signals(lambda _: None) as signals:
        signals(Stoppable(2))
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGUSR1) == signals._note
        signals(Stoppable(0))
        assert signal.getsignal(signal.SIGUSR1) != signals._note
