"""What a person sees while a job runs: bars on a terminal, a line per epoch elsewhere."""

import logging
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from trainers.events import Progress as StepProgress
from trainers.events import Row

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Display:
    """Prints to standard output; warnings of the library go the same way, so that lines and bars do not mix.

    Args:
        level: an option of `log.level`; at `warning` and above only warnings, errors and results are printed.
    """

    def __init__(self, level: str = "info") -> None:
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.chatty = LEVELS[level] <= logging.INFO
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        logger = logging.getLogger("trainers")
        logger.handlers = [_ToConsole(self)]
        logger.setLevel(LEVELS[level])
        logger.propagate = False

    def say(self, text: str = "") -> None:
        """A line that may be left out when only results are wanted."""
        if self.chatty:
            self.result(text)

    def result(self, text: str) -> None:
        """A line that is always printed."""
        self.console.print(text, markup=False)

    def packing(self, done: int, total: int, what: str) -> None:
        """Progress of drawing, downloading or packing; as a Progress callback of the data package.

        `what` may end in a comma and a unit, as in `downloading, bytes`.
        """
        self._advance(done, total, what)
        if done >= total:
            self._end_bar()
            name, _, unit = what.partition(", ")
            self.say(f"{name}: {total:,} {unit or 'samples'}")

    def step(self, progress: StepProgress, epochs: int) -> None:
        """Progress inside an epoch: shown on a terminal only."""
        text = (
            f"epoch {progress.epoch}/{epochs}  {_numbers(progress.metrics)}  "
            f"{progress.samples_per_second:,.0f} samples/s"
        )
        self._advance(progress.step, progress.steps, text)

    def epoch(self, row: Row, epochs: int) -> None:
        """An epoch's line."""
        self._end_bar()
        width = len(str(epochs))
        best = "  best" if row["best"] else ""
        self.say(
            f"epoch {row['epoch']:{width}.0f}/{epochs}  "
            f"train {_numbers(row, 'train/')}  validation {_numbers(row, 'validation/')}  "
            f"lr {row['lr']:.2e}  {row['samples_per_second']:,.0f} samples/s  {row['seconds']:.1f} s{best}"
        )

    def close(self) -> None:
        """Takes away a bar that is still there."""
        self._end_bar()

    def _advance(self, done: int, total: int, text: str) -> None:
        if not (self.console.is_terminal and self.chatty):
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=self.console, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(text, total=total)
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, description=text)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _numbers(row: Row, prefix: str = "") -> str:
    """The metrics whose names begin with a prefix, in a few words."""
    chosen = {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
    return " ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in chosen.items() if name != "collapsed")


class _ToConsole(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__()
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        self.display.result(f"{record.levelname.lower()}: {record.getMessage()}")
