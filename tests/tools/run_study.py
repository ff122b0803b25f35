"""tools/study.py with a fake training: python run_study.py HOW [arguments of study.py]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import study

if __name__ == "__main__":
    how = sys.argv.pop(1)
    study.main((str(Path(__file__).with_name("fake_train.py")), how))
