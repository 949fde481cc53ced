"""Pods of the chart as containers of Docker: their commands, environment, users, limits and mounts as rendered."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from kuberay import quantity

Object = dict[str, Any]


class Host:
    """A Docker engine that plays a Kubernetes node: one network, and what runs in it.

    Args:
        client: the program docker.
        name: what begins the names of all that is made here.
        secrets: what each rendered Secret holds, by its name.
        images: what stands in for an image that cannot be had.
    """

    def __init__(self, client: str, name: str, secrets: dict[str, dict[str, str]], images: dict[str, str]) -> None:
        self._client, self._name, self._secrets, self._images = client, name, secrets, images
        self._containers: list[str] = []
        self._volumes: list[str] = []
        self.docker("network", "create", name)

    def docker(self, *arguments: str, check: bool = True) -> str:
        """What docker prints."""
        answer = subprocess.run([self._client, *arguments], capture_output=True, text=True, timeout=300)
        if check and answer.returncode:
            raise AssertionError(f"docker {arguments[0]}: {answer.stderr}")
        return answer.stdout.strip() if check else answer.stdout + answer.stderr

    def start(self, pod: Object, container: Object, *aliases: str) -> "Running":
        """Starts a container of a pod, which others find by its aliases."""
        name = f"{self._name}-{pod['metadata']['name']}-{container['name']}"
        security, user = container["securityContext"], pod["spec"]["securityContext"]
        assert security["readOnlyRootFilesystem"]
        options = ["--detach", "--name", name, "--network", self._name, "--read-only"]
        options += ["--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--security-opt", "no-new-privileges"]
        options += [f"--cap-drop={capability}" for capability in security["capabilities"]["drop"]]
        options += [f"--network-alias={alias}" for alias in aliases]
        limits = container["resources"]["limits"]
        cores = min(quantity(limits.get("cpu", 1)), os.cpu_count() or 1)
        options += [f"--cpus={cores}", f"--memory={int(quantity(limits['memory']))}"]
        options += self._mounts(pod, container)
        options += [f"--env={key}={value}" for key, value in self._environment(pod, container)]
        command = container.get("command", [])
        if command:
            options.append(f"--entrypoint={command[0]}")
        image = self._images.get(container["image"], container["image"])
        self._containers.append(name)
        self.docker("run", *options, image, *command[1:], *container.get("args", []))
        return Running(self, name, container)

    def _environment(self, pod: Object, container: Object) -> Iterator[tuple[str, str]]:
        for each in container.get("env", []):
            source = each.get("valueFrom", {})
            if "secretKeyRef" in source:
                yield each["name"], self._secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
            elif "fieldRef" in source:
                label = source["fieldRef"]["fieldPath"].removeprefix("metadata.labels['").removesuffix("']")
                yield each["name"], pod["metadata"]["labels"][label]
            else:
                yield each["name"], each["value"]

    def _mounts(self, pod: Object, container: Object) -> Iterator[str]:
        user = pod["spec"]["securityContext"]["runAsUser"]
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for mount in container["volumeMounts"]:
            volume, path = volumes.get(mount["name"]), mount["mountPath"]
            if volume and volume["emptyDir"].get("medium") == "Memory":
                assert path == "/dev/shm"
                yield f"--shm-size={int(quantity(volume['emptyDir']['sizeLimit']))}"
            elif volume:
                yield f"--tmpfs={path}:exec,mode=770,uid={user},gid={user}"
            else:
                yield f"--volume={self._disk(pod, container, path, user)}:{path}"

    def _disk(self, pod: Object, container: Object, path: str, user: int) -> str:
        """A volume that the pod's user may write, as fsGroup sees to it."""
        name = f"{self._name}-{pod['metadata']['name']}"
        image = self._images.get(container["image"], container["image"])
        self._volumes.append(name)
        self.docker("volume", "create", name)
        options = ["--rm", "--user", "0", "--volume", f"{name}:{path}", "--entrypoint", "chown"]
        self.docker("run", *options, image, str(user), path)
        return name

    def remove(self) -> None:
        """Ends and removes all that was made here."""
        for name in self._containers:
            self.docker("rm", "--force", "--volumes", name, check=False)
        for name in self._volumes:
            self.docker("volume", "rm", name, check=False)
        self.docker("network", "rm", self._name, check=False)


class Running:
    """A container that was started."""

    def __init__(self, host: Host, name: str, container: Object) -> None:
        self._host, self._name, self._container = host, name, container
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = host.docker("inspect", "--format", template, name)

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """What a command prints in the container."""
        options = [f"--env={key}={value}" for key, value in (environment or {}).items()]
        return self._host.docker("exec", *options, self._name, *command)

    def get(self, port: int, path: str, **headers: str) -> int:
        """The status that a GET from outside gets; 0 if nobody answers."""
        request = urllib.request.Request(f"http://{self.address}:{port}{path}", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_until_ready(self) -> None:
        """Asks as the kubelet does, by the rendered probes and in their patience."""
        startup = self._container["startupProbe"]
        until = time.monotonic() + startup.get("periodSeconds", 10) * startup["failureThreshold"]
        while not all(self._answers(self._container[kind]) for kind in ("startupProbe", "readinessProbe")):
            running = self._host.docker("inspect", "--format", "{{.State.Running}}", self._name)
            assert running == "true", f"{self._name} has ended:\n{self.log()}"
            assert time.monotonic() < until, f"{self._name} is not ready:\n{self.log()}"
            time.sleep(0.5)
        assert self._answers(self._container["livenessProbe"])

    def _answers(self, probe: Object) -> bool:
        if "exec" in probe:
            command = probe["exec"]["command"]
            return self._host.docker("exec", self._name, *command, check=False).endswith("accepting connections\n")
        ports = {each["name"]: each["containerPort"] for each in self._container["ports"]}
        port = probe["httpGet"]["port"]
        return self.get(ports.get(port, port), probe["httpGet"]["path"]) == 200

    def end(self) -> tuple[int, str]:
        """Waits for its end: the exit code and the log."""
        code = int(self._host.docker("wait", self._name))
        return code, self.log()

    def stop(self, seconds: int) -> float:
        """Ends it by SIGTERM, as a pod's end does; the seconds that this took."""
        start = time.monotonic()
        self._host.docker("stop", f"--time={seconds}", self._name)
        return time.monotonic() - start

    @property
    def exit_code(self) -> int:
        """Of a container that has ended."""
        return int(self._host.docker("inspect", "--format", "{{.State.ExitCode}}", self._name))

    def log(self) -> str:
        """What it has printed, the last lines."""
        return self._host.docker("logs", "--tail=60", self._name, check=False)
