#!/usr/bin/env python3
"""trainers-mlflow serve | migrate: the MLflow server of the service, behind a user name and a password.

migrate   brings both schemas of the database up to date (tracking and users), or makes them where there are none,
          and gives the administrator the password that is set now; ends
serve     listens on port 5000; clients reach artifacts through it, so that they need no key of the store

Environment, all of it needed but the last:
    MLFLOW_BACKEND_STORE_URI        postgresql://USER:PASSWORD@HOST:PORT/DATABASE
    MLFLOW_ARTIFACTS_DESTINATION    s3://BUCKET/PREFIX (only `serve`, as the next three)
    MLFLOW_FLASK_SERVER_SECRET_KEY  signs sessions; the same on all replicas
    MLFLOW_SERVER_ALLOWED_HOSTS     names and ports by which it may be called, by commas; others get 403
    MLFLOW_ADMIN_USERNAME           of the administrator
    MLFLOW_ADMIN_PASSWORD           twelve characters at least
    MLFLOW_WORKERS                  processes that answer; 2
"""

import os
import sys
from pathlib import Path

DATABASE, USER, PASSWORD = "MLFLOW_BACKEND_STORE_URI", "MLFLOW_ADMIN_USERNAME", "MLFLOW_ADMIN_PASSWORD"
SERVED = ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_SERVER_ALLOWED_HOSTS")
AUTH_CONFIG = Path("/tmp/mlflow-auth.ini")


def migrate() -> None:
    """Brings the schemas and the administrator's password up to date."""
    from mlflow.db import upgrade
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    try:
        create_engine(os.environ[DATABASE]).connect().close()
    except OperationalError as error:
        sys.exit(f"trainers-mlflow: {DATABASE}: {str(error.orig).splitlines()[0]}")
    # Tracking first: it makes its tables only in an empty database.
    upgrade.main([os.environ[DATABASE]], standalone_mode=False)
    users = SqlAlchemyStore()
    users.init_db(os.environ[DATABASE])
    set_user = users.update_user if users.has_user(os.environ[USER]) else users.create_user
    set_user(os.environ[USER], os.environ[PASSWORD], is_admin=True)


def serve() -> None:
    """Becomes the server."""
    # Users made later see nothing of what others did, unless allowed to. configparser reads %% as %.
    AUTH_CONFIG.touch(mode=0o600)
    uri = os.environ[DATABASE].replace("%", "%%")
    AUTH_CONFIG.write_text(f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {uri}\n")
    os.environ |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(AUTH_CONFIG),
        "MLFLOW_AUTH_ADMIN_USERNAME": os.environ[USER],
        "MLFLOW_AUTH_ADMIN_PASSWORD": os.environ[PASSWORD],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs of its own, which nobody here starts
    }
    workers = os.environ.get("MLFLOW_WORKERS", "2")
    address = ["--host", "0.0.0.0", "--port", "5000"]
    os.execvp("mlflow", ["mlflow", "server", "--app-name", "basic-auth", *address, "--workers", workers])


def main() -> None:
    """Does the verb, or says which variables are missing."""
    verb, needed = {
        "migrate": (migrate, (DATABASE, USER, PASSWORD)),
        "serve": (serve, (DATABASE, USER, PASSWORD, *SERVED)),
    }.get(" ".join(sys.argv[1:]), (None, ()))
    if verb is None:
        sys.exit(__doc__)
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        sys.exit(f"trainers-mlflow: not set in the environment: {', '.join(missing)}")
    # SQLAlchemy's own choice of a driver changes with its version; this one is in the image.
    os.environ[DATABASE] = os.environ[DATABASE].replace("postgresql://", "postgresql+psycopg2://", 1)
    verb()


main()
