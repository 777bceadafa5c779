"""People with accounts on one server, each with projects of their own (--multi-user).

accounts.json in the studio's folder holds names and hashes of passwords (scrypt, RFC 7914, with a
salt each); sessions.json hashes of the secrets in browsers' cookies. Whoever has the studio's token
may make an account.
"""

import contextvars
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.studio.library import NAME
from motion_jax.studio.words import FIRST, Words

ACCOUNTS, SESSIONS, COOKIE = "accounts.json", "sessions.json", "motion_jax_session"
LEAST_PASSWORD, MOST_PASSWORD = 10, 1024
# Seconds of a session, and in which so many wrong passwords of a name or an address are answered.
LASTS, MINUTE, TRIES = 30 * 86400.0, 60.0, 5
# Of scrypt: 32 MB and about a tenth of a second.
COST = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 2**20}

# Whom the request that is answered just now is from; "" without accounts.
current: contextvars.ContextVar[str] = contextvars.ContextVar("motion_jax_user", default="")


@dataclass
class Accounts:
    """Those of one studio.

    Attributes:
      root: the studio's folder. token: the secret that lets people in.
      quota: bytes that each may have; 0: no limit.
    """

    root: Path
    token: str
    quota: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wrong: dict[str, list[float]] = field(default_factory=dict)

    def join(self, token: str, name: str, password: str) -> str:
        """Makes an account and a session of it; returns the session's secret. Raises UserError for
        a wrong token, a name that cannot be or is taken, and a password that is too short."""
        self._slow_down("token")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            self._note("token")
            raise UserError("That is not this studio's token; ask whoever runs it.")
        if not NAME.fullmatch(name):
            raise UserError("A name has small letters, digits and hyphens, at most 64.")
        if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
            raise UserError(f"A password has {LEAST_PASSWORD} signs or more.")
        salt = secrets.token_bytes(16)
        hashed = _hashed(password, salt)
        with self._lock:
            known = self._read(ACCOUNTS)
            # A project of a time before there were accounts is nobody's.
            if name in known or (self.root / name).exists():
                raise UserError("That name is taken; choose another one.")
            known[name] = {"salt": salt.hex(), "scrypt": hashed, "made": time.time()}
            (self.root / name).mkdir(parents=True)
            self._write(ACCOUNTS, known)
        return self._session(name)

    def enter(self, name: str, password: str) -> str:
        """A new session's secret. Raises UserError for a wrong name or password, after some of them
        for a minute without looking."""
        self._slow_down(name)
        known = self._read(ACCOUNTS).get(name, {})
        # A name that is not known takes as long as one that is.
        hashed = _hashed(password[:MOST_PASSWORD], bytes.fromhex(known.get("salt", "00" * 16)))
        if not hmac.compare_digest(hashed, known.get("scrypt", "")):
            self._note(name)
            raise UserError("Name or password are wrong.")
        return self._session(name)

    def leave(self, secret: str) -> None:
        """Ends a session."""
        with self._lock:
            known = self._read(SESSIONS)
            if known.pop(_key(secret), None) is not None:
                self._write(SESSIONS, known)

    def who(self, secret: str) -> str:
        """The name that a session belongs to; "" for none, or one that is over."""
        session = self._read(SESSIONS).get(_key(secret)) if secret else None
        if session is None or session["until"] < time.time():
            return ""
        return str(session["name"])

    def check_room(self, more: int = 0) -> None:
        """Raises UserError where the person of this request would have more than the quota."""
        if not self.quota:
            return
        folder = self.root / current.get()
        held = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
        if held + more > self.quota:
            size = Words(FIRST).size
            wanted = f", and this needs {size(more)}" if more else ""
            raise UserError(
                f"You have {size(held)} of {size(self.quota)}{wanted}; delete something first."
            )

    def _session(self, name: str) -> str:
        secret, now = secrets.token_urlsafe(32), time.time()
        with self._lock:
            known = {k: v for k, v in self._read(SESSIONS).items() if v["until"] > now}
            known[_key(secret)] = {"name": name, "until": now + LASTS}
            self._write(SESSIONS, known)
        return secret

    def _slow_down(self, name: str) -> None:
        recent = [at for at in self._wrong.get(name, []) if at > time.monotonic() - MINUTE]
        self._wrong[name] = recent
        if len(recent) >= TRIES:
            raise UserError("Too many wrong tries; wait a minute.")

    def _note(self, name: str) -> None:
        if len(self._wrong) > 10_000:
            self._wrong.clear()
        self._wrong.setdefault(name, []).append(time.monotonic())

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads((self.root / name).read_text())
            return value
        except OSError:
            return {}

    def _write(self, name: str, value: dict[str, Any]) -> None:
        files.write_json(self.root / name, value)
        (self.root / name).chmod(0o600)


def _hashed(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, **COST).hex()


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
