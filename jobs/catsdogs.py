"""Cats and dogs: a small CNN on drawings out of the box, on your photos by a flag. The options: catsdogs.yaml."""

import sys

from trainers.cli import main

if __name__ == "__main__":
    sys.exit(main(__file__))
