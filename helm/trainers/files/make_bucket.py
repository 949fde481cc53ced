"""Makes the bucket in the bundled store, unless it is there: python make_bucket.py NAME."""

import sys

import boto3
from botocore.config import Config

# The store may still be starting: about a minute of tries.
client = boto3.client("s3", config=Config(retries={"max_attempts": 10, "mode": "standard"}, connect_timeout=5))
if sys.argv[1] not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
    client.create_bucket(Bucket=sys.argv[1])
