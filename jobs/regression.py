"""A noisy curve, fitted by an MLP. The options: regression.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
