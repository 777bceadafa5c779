"""Where other machines find this one, and what one types so that a server is known by a further
name."""

import contextlib
import dataclasses
import ipaddress
import re
import shlex
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil

from motion_jax.errors import flag

EVERYWHERE = ("0.0.0.0", "::")
# Names and addresses as they stand in a Host header, without a port.
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,252}|[0-9a-f:.]{2,45}")


def own_names() -> tuple[str, ...]:
    """The names of this machine: its host name, and that under .local, which mDNS (Bonjour, Avahi)
    makes known to the network. Small letters, as browsers send them."""
    name = socket.gethostname().lower()
    first = name.partition(".")[0]
    if not _NAME.fullmatch(name) or first == "localhost":
        return ()
    return tuple(dict.fromkeys((name, f"{first}.local")))


def own_addresses() -> tuple[str, ...]:
    """Those by which other machines may reach this one, IPv4 first: of all interfaces that are up,
    without loopback and link-local ones."""
    states, found = psutil.net_if_stats(), []
    for interface, addresses in psutil.net_if_addrs().items():
        up = interface not in states or states[interface].isup
        for each in addresses if up else ():
            if each.family in (socket.AF_INET, socket.AF_INET6):
                found.append(ipaddress.ip_address(each.address.partition("%")[0]))
    found = [one for one in found if not (one.is_loopback or one.is_link_local)]
    return tuple(dict.fromkeys(map(str, sorted(found, key=lambda one: one.version))))


def reached_at(host: str, port: int) -> list[str]:
    """The addresses of pages of a server that listens on `host`, without a path: the one for this
    machine first, the one by its name last."""
    if host not in EVERYWHERE:
        return [_address(host, port)]
    addresses = [one for one in own_addresses() if ":" not in one or host == "::"]
    return [_address(one, port) for one in ("127.0.0.1", *addresses, *own_names()[:1])]


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def same_address(a: str, b: str) -> bool:
    """Whether two texts are one IP address; an IPv4 one may be written as IPv6."""
    try:
        one, two = (ipaddress.ip_address(each) for each in (a, b))
    except ValueError:
        return False
    return _as_ipv4(one) == _as_ipv4(two)


def _as_ipv4(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Any:
    return getattr(address, "ipv4_mapped", None) or address


def command_of(verb: str, options: Any, folders: Collection[str] = ()) -> str:
    """What one types to start a server as it was started, without its `allow_host`.

    Whoever may ask reads it: in the place of secrets, paths and lists stand their options' names.

    Args:
      folders: options whose folders are told all the same, from the home folder on: a command
        without them would open another place.
    """
    words = ["motion-jax", verb]
    for each in dataclasses.fields(options):
        value = getattr(options, each.name)
        if each.name == "allow_host" or value == each.default:
            continue
        if isinstance(value, bool):
            words.append(flag(f"{each.name}={value}"))
        elif each.name in folders and isinstance(value, Path):
            words += [flag(each.name), _from_home(value)]
        elif each.name != "token" and isinstance(value, str | int | float):
            words += [flag(each.name), shlex.quote(str(value))]
        else:
            words += [flag(each.name), each.name.upper()]
    return " ".join(words)


def _from_home(path: Path) -> str:
    """For a shell; whose home it is need not be told."""
    whole = path.expanduser().absolute()
    with contextlib.suppress(ValueError, RuntimeError):
        inside = whole.relative_to(Path.home())
        return f"~/{shlex.quote(str(inside))}" if inside.parts else "~"
    return shlex.quote(str(whole))


def with_name(command: str, hosts: tuple[str, ...], name: str) -> str:
    """The command with a further name in its --allow-host. name: of a Host header; one that is none
    is NAME."""
    further = name if _NAME.fullmatch(name) else "NAME"
    return " ".join([command, flag("allow_host"), *map(shlex.quote, (*hosts, further))])
