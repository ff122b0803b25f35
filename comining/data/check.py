"""``python -m comining.data.check``, the former name of ``comining check``."""

import sys

from comining.cli import main

FORMER = {"--image-root": "--images"}

if __name__ == "__main__":
    words = [FORMER.get(word, word) for word in sys.argv[1:]]
    decode = [] if "--check-images" in words else ["--no-decode"]
    main(["check", *(word for word in words if word != "--check-images"), *decode])
