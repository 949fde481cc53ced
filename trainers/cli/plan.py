"""`plan`."""

from trainers.cli.verb import Request, Verb
from trainers.display import Display
from trainers.summary import Summary


class Plan(Verb):
    """Says what would run."""

    about = "what would run, on what; trains nothing"

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """The plan of `train`."""
        from trainers.runs.plan import plan

        plan(request.experiment, display, summary)
