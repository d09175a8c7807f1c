"""`python -m typika` is the same as `typika`."""

from typika.cli import main

if __name__ == "__main__":
    main()
