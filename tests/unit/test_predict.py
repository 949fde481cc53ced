"""What `predict` makes of addresses that give nothing: each is named with its cause, and the others are answered."""

from http.client import BadStatusLine, IncompleteRead
from urllib.error import URLError

import pytest

from trainers.data import Unreadable
from trainers.trained import predict as verb


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (IncompleteRead(b"12", 3), "2 bytes read, 3 more expected"),
        (BadStatusLine("SSH-2.0"), "SSH-2.0"),
        (URLError("away"), "away"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_an_answer_that_breaks_off_is_unreadable(monkeypatch, error, cause):
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(verb.urllib.request, "urlopen", refuse)
    content = verb._content("http://h/a.png", verb._download)
    assert isinstance(content, Unreadable)
    assert cause in str(content)


@pytest.mark.parametrize("url", ["http://h/a b.png", "http://h:x/a.png", "http://"])
def test_what_is_no_url_is_unreadable(url):
    assert isinstance(verb._content(url, verb._download), Unreadable)
