"""CIFAR-10: ten kinds of things on 32 pixels. The options: cifar10.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
