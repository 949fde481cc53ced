"""Where what must last is kept: a folder, or S3 with a folder of each machine as its cache."""

from trainers.storage.mirror import Mirror
from trainers.storage.place import S3, check_storage, local_folder, on_s3, submitted
