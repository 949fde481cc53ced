"""--on and --token: which cluster is meant, and where its token comes from."""

import base64
from pathlib import Path

import pytest

from trainers.errors import RequestError
from trainers.remote.jobs import Target, find_target

URL = "http://127.0.0.1:8265"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """A program of that name that notes what it is asked, prints and fails as told."""

    def install(answer: str = "", error: str = "", code: int = 0) -> Path:
        program = tmp_path / "bin" / "kubectl"
        program.parent.mkdir()
        asked = tmp_path / "asked"
        program.write_text(f'#!/bin/sh\necho "$@" > {asked}\nprintf %s "{answer}"\necho "{error}" >&2\nexit {code}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        return asked

    return install


def refusal(url: str | None = URL, token: str | None = None, **environ: str) -> str:
    with pytest.raises(RequestError) as caught:
        find_target(url, token, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_flag_it_is_rays_own_variable_and_else_this_machine():
    assert find_target(None, None, {}).url == URL
    assert find_target(None, None, {"RAY_API_SERVER_ADDRESS": "http://head:8265/"}).url == "http://head:8265"
    assert find_target("https://here/ray/", None, {"RAY_API_SERVER_ADDRESS": "http://h:1"}).url == "https://here/ray"


@pytest.mark.parametrize("url", ["head:8265", "ray://head:10001", "http://", "http://head:port", "http://head/?a=b"])
def test_what_is_no_url_of_a_dashboard_is_refused(url):
    assert "give http://HOST:8265" in refusal(url)


def test_a_password_in_the_url_is_refused_and_not_printed():
    told = refusal("http://me:hidden@head:8265")
    assert "--token" in told
    assert "hidden" not in told


def test_the_token_comes_from_where_ray_looks_for_it(tmp_path, home):
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    (home / ".ray").mkdir(parents=True)
    assert find_target(URL, None, {}).token is None
    (home / ".ray" / "auth_token").write_text("of-home")
    path = {"RAY_AUTH_TOKEN_PATH": str(file)}
    assert find_target(URL, None, {}).token == "of-home"
    assert find_target(URL, None, path).token == "of-the-file"
    assert find_target(URL, None, path | {"RAY_AUTH_TOKEN": "of-the-variable"}).token == "of-the-variable"


def test_a_named_file_wins_and_may_be_a_file_of_settings(tmp_path):
    environ = {"RAY_AUTH_TOKEN": "of-the-variable"}
    file = tmp_path / "token"
    file.write_text("mine\n")
    assert find_target(URL, str(file), environ).token == "mine"
    file.write_text("# secrets\nOTHER=1\nRAY_AUTH_TOKEN=ours\n")
    assert find_target(URL, str(file), environ).token == "ours"


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "ümlaut"])
def test_a_file_without_a_token_is_refused_by_its_name(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    assert refusal(token=str(file)).startswith(f"--token {file}: holds no token")


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path):
    assert "No such file" in refusal(token=str(tmp_path / "none"))
    assert refusal(RAY_AUTH_TOKEN_PATH=str(tmp_path / "none")).startswith(f"RAY_AUTH_TOKEN_PATH {tmp_path}")


@pytest.mark.parametrize(("name", "asks"), [("k8s:ray", "get secret ray -o"), ("k8s:ml/ray", "--namespace ml")])
def test_kubectl_is_asked_for_the_clusters_secret(kubectl, name, asks):
    asked = kubectl(answer=base64.b64encode(b"of-the-secret").decode())
    assert find_target(URL, name, {}).token == "of-the-secret"
    assert asks in asked.read_text()
    assert "jsonpath={.data.auth_token}" in asked.read_text()


def test_what_kubectl_refuses_is_told_in_its_words(kubectl):
    kubectl(error="Error from server (NotFound): secrets ray not found", code=1)
    assert refusal(token="k8s:ray") == "--token k8s:ray: kubectl: Error from server (NotFound): secrets ray not found"


def test_a_secret_without_the_key_is_refused(kubectl):
    kubectl()
    assert refusal(token="k8s:ray") == "--token k8s:ray: the secret has no key auth_token"


def test_a_missing_kubectl_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "kubectl is not on the PATH" in refusal(token="k8s:ray")


def test_a_target_does_not_show_its_token():
    assert "hidden" not in repr(Target(URL, "hidden"))


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        (URL, False),
        ("http://10.1.2.3:8265", False),
        ("http://93.184.215.14:8265", True),
        ("https://93.184.215.14", False),
    ],
)
def test_a_token_is_exposed_by_http_to_a_public_address(url, exposed):
    assert Target(url, "token").is_exposed == exposed
    assert not Target(url).is_exposed
