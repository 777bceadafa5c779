"""What is said when a signal asks for an end."""

import os
import signal

import pytest

from motion_jax.devices.processes import Job
from motion_jax.train.signals import Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_second_ctrl_c_is_spoken_of_after_the_first_only(number, capfd):
    with Signals(Job()) as signals:
        os.kill(os.getpid(), number)
        assert signals.asked(1) and signals.reason == number.name
    err = capfd.readouterr().err
    assert "Stopping after this step and saving" in err
    assert ("a second Ctrl-C stops at once" in err) == (number == signal.SIGINT)
    assert signals.status(75) == (130 if number == signal.SIGINT else 75)
