"""train_net.py in a process that kills itself, or one of several, at a given moment.

python run_until.py MOMENT ITERATION RANK [arguments of train_net.py]
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from unittest import mock

import torch
from detectron2.utils.events import get_event_storage

from comining.modeling import TwoViewDetector

SCRIPT = Path(__file__).parents[2] / "train_net.py"


def main(moment, iteration, rank):
    forward, save, replace = TwoViewDetector.train_branches, torch.save, Path.replace

    def die():
        if int(os.environ.get("RANK", 0)) == rank:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_forward(self, *args):
        if get_event_storage().iter == iteration:
            die()
        return forward(self, *args)

    def dying_save(content, file):
        if content.get("iteration") == iteration:
            file.write(b"the first bytes")
            file.flush()
            die()
        save(content, file)

    def dying_replace(self, target):
        if self.name == f".model_{iteration:07d}.pth.partial":
            die()
        return replace(self, target)

    def dying_tag(self, target):
        written = Path(target).with_name(f"model_{iteration:07d}.pth").exists()
        if Path(target).name == "last_checkpoint" and written:
            die()
        return replace(self, target)

    patches = {
        "in a step": mock.patch.object(TwoViewDetector, "train_branches", dying_forward),
        "while a checkpoint is written": mock.patch.object(torch, "save", dying_save),
        "before a checkpoint is in place": mock.patch.object(Path, "replace", dying_replace),
        "before a checkpoint is pointed to": mock.patch.object(Path, "replace", dying_tag),
    }
    # A worker that torchrun started anew lives.
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        patches[moment].start()
    runpy.run_path(str(SCRIPT), run_name="__main__")


if __name__ == "__main__":
    moment, iteration, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    del sys.argv[1:4]
    main(moment, iteration, rank)
