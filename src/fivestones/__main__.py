"""`python -m fivestones`."""

from fivestones.cli import main

if __name__ == "__main__":
    main()
