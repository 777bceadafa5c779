"""Where the command `motion-jax` begins.

Ctrl-C while the command line's own modules are still being read ends it as later, with status 130
and a line, not with a traceback of the imports.
"""

import signal

from motion_jax.interrupt import at_once


def main() -> None:
    """Runs the command line: see motion_jax.cli.main."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, at_once)
    from motion_jax.cli import main as run

    run()


if __name__ == "__main__":
    main()
