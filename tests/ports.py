"""Ports for servers that are programs of their own, kept for them from before their start until after their end."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def kept(count: int = 1) -> Iterator[list[int]]:
    """Free ports of 127.0.0.1: connections are refused there until their server listens, and whenever it does not.

    The kernel gives none of them to anybody who takes any port, as it would if a port were only looked for. A socket is
    bound to each and does not listen; another that says SO_REUSEADDR, as servers do, may listen beside it.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        yield ports
