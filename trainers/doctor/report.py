"""`trainers doctor`: whether this machine, or a cluster, has what a job needs; what is wrong, and how to mend it."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from trainers import config
from trainers.cluster import Answer, Runtime, ask_nodes, joined_cluster
from trainers.display import aligned
from trainers.doctor import checks as look
from trainers.doctor.checks import Finding
from trainers.errors import RequestError, WorkError
from trainers.experiment import Experiment
from trainers.remote.jobs import Target, run_there
from trainers.remote.send import Where
from trainers.remote.travel import environment


def doctor(storage: str | None, *, as_json: bool, on: str | None, token: str | None, pass_env: Sequence[str]) -> int:
    """Prints a table, or a JSON object, and returns the exit code: 0 if nothing is a problem, else 1.

    Args:
        storage: as storage.path; None: as a job without flags has it.
        on: the cluster whose head is asked instead, and compared with this machine; None: this machine, and the cluster
            that it belongs to, if any.
        token: that the cluster wants, as the flag --token has it.
        pass_env: names of variables that it gets.

    Raises:
        RequestError: the options cannot be read, or the cluster cannot be reached.
        WorkError: the cluster could not be asked.
    """
    experiment = config.load(None, {"storage": {"path": storage}} if storage else {})
    if on is None:
        here, there = list(_rows(experiment)), None
    else:
        target = Where(on, token).find(lambda line: print(line, file=sys.stderr))  # noqa: T201
        here = [*look.versions(), look.clock({target.url: look.ahead(target.url)})]
        there = compared(here, _rows_there(storage, target, pass_env))
    ok = not any(row.problem for row in [*here, *(there or [])])
    if as_json:
        columns = {"here": here} if there is None else {"here": here, "there": there}
        print(json.dumps({"ok": ok} | {side: [asdict(row) for row in rows] for side, rows in columns.items()}))  # noqa: T201
    else:
        print("\n".join(table(here, there)))  # noqa: T201
    return 0 if ok else 1


def compared(here: Sequence[Finding], there: Sequence[Finding]) -> list[Finding]:
    """The rows of a cluster; versions that should be those of this machine and are not are problems."""
    ours, rows = {row.name: row.found for row in here}, []
    for row in there:
        parts = {"Python": 2, "Ray": 2, "trainers": 3}.get(row.name)  # of a version, that must agree
        same = parts is None or row.found.split(".")[:parts] == ours[row.name].split(".")[:parts]
        fix = f"install {row.name} {row.found} here, or the image of this version there"
        rows.append(row if same or row.problem else replace(row, problem=f"not {ours[row.name]}, as here", fix=fix))
    return rows


def table(here: Sequence[Finding], there: Sequence[Finding] | None) -> list[str]:
    """The rows in lines, each problem below its row; where two machines were asked, what both say."""
    if there is None:
        return aligned(line for row in here for line in _lines([""], [row], [row.found]))
    ours = {row.name: row for row in here}
    lines = [["", "", "here", "there"]]
    for row in there:
        own = ours.get(row.name, Finding(row.name, ""))
        lines += _lines(["there: ", "here: "], [row, own], [own.found, row.found])
    return aligned(lines)


def _lines(sides: Sequence[str], rows: Sequence[Finding], found: Sequence[str]) -> list[list[str]]:
    """A line of the table, and below its last column what is wrong on each side."""
    mark = "problem" if any(row.problem for row in rows) else f"{'ok':7}"
    lines = [[mark, rows[0].name, *found]]
    for side, row in zip(sides, rows, strict=True):
        if row.problem:
            lines += [[""] * (len(lines[0]) - 1) + [text] for text in (side + row.problem, f"fix: {row.fix}")]
    return lines


def _rows(experiment: Experiment) -> list[Finding]:
    rows = [
        *look.versions(),
        *look.machine(experiment.storage),
        look.storage(experiment.storage),
        look.tracking(experiment),
        look.clock({url: look.ahead(url) for url in look.servers(experiment)}),
    ]
    return rows + (_cluster(experiment) if os.environ.get("RAY_ADDRESS") else [])


def _cluster(experiment: Experiment) -> list[Finding]:
    """The cluster that this process belongs to, and each of its nodes if there are several."""
    runtime = Runtime(None, verbose=False)
    try:
        runtime.wait()
        rows = [Finding("cluster", str(joined_cluster())), _token()]
        return rows + [_node(answer) for answer in ask_nodes(experiment.storage, also=look.machine)]
    except RequestError as error:
        return [Finding("cluster", os.environ["RAY_ADDRESS"], str(error), "look at the head's log")]
    finally:
        runtime.stop()


def _node(answer: Answer) -> Finding:
    """What a node says of itself, in a row; of several problems the first."""
    rows: list[Finding] = answer.more or []
    problem, _, fix = answer.complaint.partition("; ")
    bad = [Finding("", "", problem, fix)] * bool(problem) + [row for row in rows if row.problem]
    found = ", ".join(f"{row.name} {row.found}" for row in rows)
    return replace(bad[0], name=f"node {answer.node}", found=found) if bad else Finding(f"node {answer.node}", found)


def _token() -> Finding:
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return Finding("token", "Ray asks for it")
    problem = "whoever reaches the cluster's ports can run anything on it"
    return Finding(
        "token", "Ray asks for none", problem, "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN for all of its nodes"
    )


def _rows_there(storage: str | None, target: Target, pass_env: Sequence[str]) -> list[Finding]:
    """What the doctor of a cluster's head says."""
    argv = ["trainers", "doctor", "--json", *(["--storage", storage] if storage else [])]
    code, output = run_there(target, argv, environment(pass_env).values)
    said = [line for line in output.splitlines() if line.strip()]
    try:
        return [Finding(**row) for row in json.loads(said[-1])["here"]]
    except (IndexError, ValueError, KeyError, TypeError):
        last = said[-1] if said else "it says nothing"
        raise WorkError(f"--on {target.url}: `trainers doctor` failed there with exit code {code}: {last}") from None
