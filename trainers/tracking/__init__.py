"""What was trained, and how, on record: runs, models, champions. Nothing else imports mlflow."""

from trainers.tracking.champion import Decision, Score, promote
from trainers.tracking.client import check, check_lasting, connect, quiet, run_name, shown, tracking_uri
from trainers.tracking.journal import require_free, run_id_of
from trainers.tracking.recorder import Recorder, Status
from trainers.tracking.registry import CHAMPION, Version, VersionInfo, fetch, find_version, preload, register, versions
from trainers.tracking.resend import replay
from trainers.tracking.ui import serve_ui
