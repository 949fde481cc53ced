"""The same commands on a cluster elsewhere, by Ray's Jobs API, without Ray."""
