"""``python -m comining.data.check``, the former name of ``comining check``."""

import runpy
import sys

FORMER = {"--image-root": "--images"}

if __name__ == "__main__":
    words = [FORMER.get(word, word) for word in sys.argv[1:]]
    decode = [] if "--check-images" in words else ["--no-decode"]
    words = [word for word in words if word != "--check-images"]
    sys.argv = ["comining", "check", *words, *decode]
    runpy.run_module("comining", run_name="__main__")
