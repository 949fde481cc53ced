"""What a person sees while a job runs: bars on a terminal, a line per epoch elsewhere."""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from trainers.events import Progress as StepProgress
from trainers.events import Row

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True)
class Standing:
    """How a sweep stands.

    Attributes:
        counts: how many trials have ended and how, and how much time is left, in a line.
        best: the best trial so far, in a line; empty before there is one.
        columns: of the table of the running trials.
        running: its rows.
    """

    counts: str
    best: str
    columns: tuple[str, ...]
    running: tuple[tuple[str, ...], ...]


def aligned(rows: Iterable[Sequence[object]], *, right: bool = False) -> list[str]:
    """Rows of cells as lines, whose columns are as wide as they must be: nothing is wrapped or cut.

    Args:
        right: cells end below one another, as numbers do.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    for cells in rows:
        table.add_row(*(Text(str(cell), no_wrap=True) for cell in cells))
    for column in table.columns:
        column.justify = "right" if right else "left"
    console = Console(width=10_000, color_system=None)
    with console.capture() as lines:
        console.print(table)
    return [line.rstrip() for line in lines.get().splitlines()]


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
        self._live: Live | None = None
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

    def warn(self, text: str) -> None:
        """A warning, unless only errors are wanted."""
        logging.getLogger("trainers").warning("%s", text)

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

    @property
    def is_live(self) -> bool:
        """Whether bars and tables can be shown: on a terminal, if more than results is wanted."""
        return self.console.is_terminal and self.chatty

    def sweep(self, standing: Standing) -> None:
        """How a sweep stands, in a table below all lines: on a terminal only."""
        if not self.is_live:
            return
        if self._live is None:
            self._live = Live(console=self.console, transient=True, refresh_per_second=4)
            self._live.start()
        self._live.update(_sweep_table(standing))

    def close(self) -> None:
        """Takes away a bar or a table that is still there."""
        self._end_bar()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _advance(self, done: int, total: int, text: str) -> None:
        if not self.is_live:
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


class Silent(Display):
    """Prints nothing: for what runs beside others, of which only the whole is shown."""

    def __init__(self) -> None:  # the library's warnings stay with the display that they have
        self.console = Console(quiet=True)
        self.chatty = False
        self._bar = self._live = None

    def result(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""


def _sweep_table(standing: Standing) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in standing.columns:
        table.add_column(column, no_wrap=True)
    for row in standing.running:
        table.add_row(*map(Text, row))
    lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in (standing.counts, standing.best) if line]
    return Group("", *lines, table) if standing.running else Group("", *lines)


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
