"""A three-armed spiral, told apart by a linear model and an MLP. The options: spiral.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
