"""`plan`."""

from trainers.cli.verb import Request, Verb


class Plan(Verb):
    about = "what would run, on what; trains nothing"

    def do(self, request: Request) -> None:
        from trainers.runs.plan import plan

        plan(*request.parts)
