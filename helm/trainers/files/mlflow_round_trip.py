"""A run and an artifact that go to MLflow and come back; the run is deleted again."""

import tempfile
from pathlib import Path

import mlflow

client = mlflow.MlflowClient()
found = client.get_experiment_by_name("helm-test")
experiment = found.experiment_id if found else client.create_experiment("helm-test")
run = client.create_run(experiment).info.run_id
try:
    client.log_metric(run, "seen", 1.0)
    client.log_text(run, "as it was", "note.txt")
    assert client.get_run(run).data.metrics == {"seen": 1.0}, "the metric did not come back"
    with tempfile.TemporaryDirectory() as folder:
        note = Path(client.download_artifacts(run, "note.txt", folder))
        assert note.read_text() == "as it was", "the artifact did not come back"
finally:
    client.delete_run(run)
