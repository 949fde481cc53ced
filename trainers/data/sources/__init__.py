"""The named data sets, a file each, and what finds the one that `data.source` names."""
