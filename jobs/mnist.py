"""Handwritten digits: three MLPs and a small CNN. The options: mnist.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
