"""The former name of ``python -m comining.annotations.check``."""

from comining.annotations.check import main

if __name__ == "__main__":
    main()
