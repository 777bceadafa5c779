"""Processes that come together, or are told at once why not: real sockets, no jax."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from motion_jax.cli.train import refuse_early
from motion_jax.devices.roll_call import Lifeline, Presence, call, compare, report, split_address
from motion_jax.errors import UserError


def free_address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def presence(index, count=2, error="", **facts):
    return Presence(index, count, f"host{index}", {"jax": "0.10.2"} | facts, error)


def together(*presences, seconds=10.0, address=None):
    """What each process gets or is told, in the order given; and the seconds that it took."""
    address = address or free_address()
    results = [None] * len(presences)

    def run(number, me):
        act = call if me.index == 0 else report
        try:
            results[number] = act(address, me, seconds)
        except UserError as error:
            results[number] = str(error)

    begun = time.monotonic()
    threads = [threading.Thread(target=run, args=each) for each in enumerate(presences)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, time.monotonic() - begun


def close(*lines):
    for line in lines:
        line.close()


def test_all_come_and_hear_who_began():
    address = free_address()
    came = {}

    def first():
        came.update(call(address, presence(0, 3), 10))
        for _, line in came.values():
            line.send({"begin": "host0"})

    thread = threading.Thread(target=first)
    thread.start()
    # In the order of their numbers or not, one after the other or not.
    (host2, line2), (host1, line1) = _reports(address)
    thread.join()
    assert sorted(came) == [1, 2] and (host1, host2) == ("host0", "host0")
    assert came[2][0].host == "host2"
    close(line1, line2, *(line for _, line in came.values()))


def _reports(address):
    results = {}

    def one(index):
        results[index] = report(address, presence(index, 3), 10)

    threads = [threading.Thread(target=one, args=(index,)) for index in (2, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[2], results[1]


def test_differences_are_named_everywhere():
    told, seconds = together(presence(0, seed="0"), presence(1, seed="1", jax="0.10.1"), seconds=60)
    assert told[0] == told[1] and seconds < 30
    assert "jax: 0.10.2 in process 0, 0.10.1 in process 1 (host1)" in told[0]
    assert "seed: 0 in process 0, 1 in process 1 (host1)" in told[0]
    assert compare(presence(0), presence(1)) == []


def test_who_is_missing_is_said_after_the_limit():
    told, _ = together(presence(0, 4), presence(2, 4), seconds=1.0)
    assert told[0] == told[1]
    assert "After 1 s processes 1, 3 of 4 did not come to 127.0.0.1:" in told[0]
    [told], _ = together(presence(1), seconds=0.5)
    assert "process 0 of 2 does not answer" in told and "wait_seconds" in told


@pytest.mark.parametrize(
    ("presences", "sentence"),
    [
        ((presence(0), presence(5)), "was given process 5, but 2 processes are numbered 0 to 1"),
        ((presence(0, 3), presence(1, 3), presence(1, 3)), "call themselves process 1 of 3"),
        ((presence(0), presence(0)), "Two processes call themselves process 0 of 2"),
        ((presence(0, 3), presence(1, 3), presence(0, 3)), "call themselves process 0 of 3"),
        ((presence(0), presence(1, 4)), "told that there are 4 processes, process 0 that there"),
        ((presence(0), presence(1, error="No data.")), "Process 1 of 2 (host1) cannot begin: No"),
        ((presence(0, error="No data."), presence(1)), "No data."),
    ],
)
def test_what_cannot_be_is_said_at_once_in_all(presences, sentence):
    told, seconds = together(*presences, seconds=60)
    assert seconds < 30
    for each in told:
        assert sentence in each


def test_an_occupied_port_and_another_program():
    with contextlib.closing(socket.create_server(("", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        accepting = threading.Thread(target=_answer, args=(other,))
        accepting.start()
        told, seconds = together(presence(0), presence(1), seconds=60, address=address)
        accepting.join()
    assert "is taken by another program" in told[0]
    assert "is answered by another program" in told[1]
    assert seconds < 30


def _answer(server):
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"220 mail.example.com\r\n")


def test_a_process_0_that_is_just_leaving_is_waited_for():
    server = socket.create_server(("", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"

    def leave():
        connection, _ = server.accept()
        # No TIME_WAIT of this side, and no word.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        connection.close()

    leaving = threading.Thread(target=leave)
    leaving.start()
    told, _ = together(presence(0), seconds=0.2, address=address)
    leaving.join()
    assert "process 1 of 2 did not come" in told[0]


def test_a_wrong_number_is_told_to_process_0_before_anything_heavy(capsys):
    address = free_address()
    told = []

    def first():
        with pytest.raises(UserError) as error:
            call(address, presence(0), 60)
        told.append(str(error.value))

    thread = threading.Thread(target=first)
    thread.start()
    with pytest.raises(SystemExit) as end:
        refuse_early(["demo", "--coordinator", address, "--process=-1", "--processes", "2"])
    thread.join()
    assert end.value.code == 2
    said = "was given {} -1, but 2 processes are numbered 0 to 1"
    assert said.format("process") in told[0]
    assert said.format("--process") in capsys.readouterr().err


def test_addresses():
    assert split_address("10.0.0.1:8482") == ("10.0.0.1", 8482)
    assert split_address("[::1]:80") == ("::1", 80)
    for wrong in ("host", ":1", "host:", "host:0", "host:99999", "host:x"):
        with pytest.raises(UserError, match="is not HOST:PORT"):
            split_address(wrong)
    with pytest.raises(UserError, match="no machine is known as no-such-host.invalid"):
        report("no-such-host.invalid:1", presence(1), 60)


@pytest.fixture
def lifelines():
    """Of processes 0, 1, 2: (lifelines, what each was told)."""
    pairs = [socket.socketpair(), socket.socketpair()]
    from motion_jax.devices.roll_call import Line

    told = [[], [], []]
    ends = [
        {1: ("host1", Line(pairs[0][0])), 2: ("host2", Line(pairs[1][0]))},
        {0: ("host0", Line(pairs[0][1]))},
        {0: ("host0", Line(pairs[1][1]))},
    ]
    lines = [Lifeline(end, told[k].append) for k, end in enumerate(ends)]
    yield lines, told, ends
    for line in lines:
        line.close()


def _soon(condition):
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def unix_sockets(monkeypatch):
    """Keepalive is TCP's; the pairs of sockets here are not."""
    set_option = socket.socket.setsockopt

    def tolerant(self, *arguments):
        if self.family != socket.AF_UNIX:
            set_option(self, *arguments)

    monkeypatch.setattr(socket.socket, "setsockopt", tolerant)


def test_a_failure_reaches_all(lifelines):
    lines, told, _ = lifelines
    lines[2].tell({"failed": 2, "host": "host2", "sentence": "The disk is gone.", "status": 2})
    _soon(lambda: told[0] and told[1])
    assert told[0] == told[1] and told[0][0]["sentence"] == "The disk is gone."


def test_a_killed_process_is_noticed_by_all(lifelines):
    lines, told, ends = lifelines
    # What the system does with the connections of a process that is killed.
    ends[2][0][1].connection.shutdown(socket.SHUT_RDWR)
    _soon(lambda: told[0] and told[1])
    assert told[0][0]["failed"] == 2 == told[1][0]["failed"] and told[1][0]["host"] == "host2"


def test_leaving_in_order_is_no_failure(lifelines):
    lines, told, _ = lifelines
    lines[1].tell({"done": 1})
    lines[2].tell({"done": 2})
    lines[0].wait_for_all()
    lines[0].tell({"done": 0})
    lines[1].wait_for_all()
    lines[2].wait_for_all()
    for line in lines:
        line.close()
    assert told == [[], [], []]
