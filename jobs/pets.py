"""Oxford-IIIT Pet: 37 breeds of cats and dogs. The options: pets.yaml."""

from trainers.cli import main

if __name__ == "__main__":
    main(__file__)
