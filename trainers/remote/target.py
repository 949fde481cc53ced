"""Which remote cluster is meant, and the token that it wants."""

import base64
import binascii
import ipaddress
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from trainers.errors import RequestError

DEFAULT_URL = "http://127.0.0.1:8265"  # where Ray's dashboard listens unless told otherwise
SECRET = "k8s:"
SETTING = "RAY_AUTH_TOKEN="
KUBECTL_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """A cluster.

    Attributes:
        url: of its dashboard, such as http://127.0.0.1:8265, without a slash at its end; it may have a path.
        token: Ray's authentication token; None where there is none to give.
        origin: where the token comes from, for messages.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    origin: str = ""

    @property
    def is_exposed(self) -> bool:
        """Whether the token would cross a network that is not private, unencrypted."""
        address = urlsplit(self.url)
        return self.token is not None and address.scheme == "http" and not _is_private(address.hostname or "")


def find_target(url: str | None, token: str | None, environ: Mapping[str, str] = os.environ) -> Target:
    """The cluster that the flags --on and --token mean.

    Args:
        url: of its dashboard; None: RAY_API_SERVER_ADDRESS, Ray's own variable, else this machine's.
        token: a file that holds it, alone or in a line RAY_AUTH_TOKEN=…, or `k8s:[NAMESPACE/]SECRET`, a Kubernetes
            secret with the key auth_token; None: where Ray itself looks, in RAY_AUTH_TOKEN, the file at
            RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises RequestError: that is no URL of a dashboard, or there is no token where one was named.
    """
    flag = "--on" if url else "RAY_API_SERVER_ADDRESS"
    url = (url or environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_URL).rstrip("/")
    try:
        address = urlsplit(url)
        fits = address.scheme in ("http", "https") and address.hostname and (address.port or 1) > 0
    except ValueError:  # a port that is no number
        fits = False
    if not fits or address.query or address.fragment:
        raise RequestError(f"{flag}: {url.rpartition('@')[2]} is no URL of a Ray dashboard; give http://HOST:8265")
    if address.username is not None:
        raise RequestError(f"{flag}: the URL must not hold a name or password; Ray wants a token: --token FILE")
    return Target(url, *_find_token(token, environ))


def _find_token(given: str | None, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The token, and where it comes from."""
    if given is not None:
        where = f"--token {given}"
        if given.startswith(SECRET):
            return _checked(_read_secret(given.removeprefix(SECRET)), where), where
        return _read_file(Path(given), where), where
    if environ.get("RAY_AUTH_TOKEN"):
        return _checked(environ["RAY_AUTH_TOKEN"], "RAY_AUTH_TOKEN"), "RAY_AUTH_TOKEN"
    if named := environ.get("RAY_AUTH_TOKEN_PATH"):
        where = f"RAY_AUTH_TOKEN_PATH {named}"
        return _read_file(Path(named), where), where
    # Ray writes one there for itself when it is started on this machine.
    usual = Path("~/.ray/auth_token")
    return (_read_file(usual, str(usual)), str(usual)) if usual.expanduser().is_file() else (None, "")


def _read_file(path: Path, where: str) -> str:
    try:
        text = path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not text"
        raise RequestError(f"{where}: the token cannot be read: {cause}") from None
    lines = [line for line in text.splitlines() if line.startswith(SETTING)]  # a file of settings
    return _checked(lines[0].removeprefix(SETTING) if lines else text, where)


def _checked(token: str, where: str) -> str:
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise RequestError(f"{where}: holds no token (one word of plain letters)")
    return token


def _read_secret(name: str) -> str:
    """The key auth_token of a secret `[NAMESPACE/]SECRET`, asked of kubectl with the user's own context."""
    namespace, _, secret = name.rpartition("/")
    command = ["kubectl", "get", "secret", secret, "-o", "jsonpath={.data.auth_token}"]
    where = f"--token {SECRET}{name}"
    try:
        answer = subprocess.run(
            command + (["--namespace", namespace] if namespace else []),
            capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise RequestError(f"{where}: kubectl is not on the PATH; install it, or give --token FILE") from None
    except subprocess.TimeoutExpired:
        raise RequestError(f"{where}: kubectl gave no answer in {KUBECTL_SECONDS} s; is its cluster there?") from None
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise RequestError(f"{where}: kubectl: {said[-1]}")
    if not answer.stdout:
        raise RequestError(f"{where}: the secret has no key auth_token")
    try:
        return base64.b64decode(answer.stdout, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise RequestError(f"{where}: its auth_token is not what Kubernetes writes (base64 of text)") from None


def _is_private(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:  # connecting will fail, and say so
        return True
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_private for address in found)
