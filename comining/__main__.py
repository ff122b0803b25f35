"""``python -m comining``, the same as the command ``comining``."""

from comining.cli import main

if __name__ == "__main__":
    main()
