"""The former name of ``comining sparsify``, whose --annotations was --input here."""

import re
import sys

from comining.cli import main

if __name__ == "__main__":
    words = [re.sub("^--input(?==|$)", "--annotations", word) for word in sys.argv[1:]]
    main(["sparsify", *words])
