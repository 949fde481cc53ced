"""A GAN that draws MNIST digits. The options: gan.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
