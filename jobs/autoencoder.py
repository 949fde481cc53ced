"""An autoencoder of MNIST digits. The options: autoencoder.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
