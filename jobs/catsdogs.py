"""Cats and dogs: a small CNN on drawings out of the box, on your photos by a flag. The options: catsdogs.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
