"""Stops the jobs of this head, each of which then closes its run, and waits until they have ended.

The head's pod does it before it ends: python stop_jobs.py SECONDS
"""

import sys
import time

from ray.job_submission import JobStatus, JobSubmissionClient

UNDER_WAY = (JobStatus.PENDING, JobStatus.RUNNING)
client = JobSubmissionClient("http://127.0.0.1:8265")
names = [job.submission_id for job in client.list_jobs() if job.submission_id and job.status in UNDER_WAY]
for name in names:
    client.stop_job(name)
# Ray kills what has not ended by then; a little more, so that its own word is read.
until = time.monotonic() + int(sys.argv[1]) + 5
while time.monotonic() < until and any(client.get_job_status(name) in UNDER_WAY for name in names):
    time.sleep(0.5)
