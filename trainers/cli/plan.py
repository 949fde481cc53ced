"""`plan`."""

from trainers.cli.verb import Request, Verb
from trainers.display import Display
from trainers.summary import Summary


class Plan(Verb):
    about = "what would run, on what; trains nothing"

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        from trainers.runs.plan import plan

        plan(request.experiment, display, summary)
