"""What was trained, and how, on record: runs, models, champions. Nothing else imports mlflow."""

from trainers.tracking.champion import Decision, promote
from trainers.tracking.client import connect, quiet, shown, tracking_uri
from trainers.tracking.recorder import Recorder, Status
from trainers.tracking.registry import CHAMPION, Version, VersionInfo, fetch, find_version, register, versions
from trainers.tracking.resend import replay
from trainers.tracking.ui import serve_ui

__all__ = [
    "CHAMPION",
    "Decision",
    "Recorder",
    "Status",
    "Version",
    "VersionInfo",
    "connect",
    "fetch",
    "find_version",
    "promote",
    "quiet",
    "register",
    "replay",
    "serve_ui",
    "shown",
    "tracking_uri",
    "versions",
]
