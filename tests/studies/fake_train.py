"""What a study sees of train_net.py, without a training: python fake_train.py HOW [arguments].

HOW is "well", or what happens to the runs of seed 1: "fail", "die" (once, by SIGKILL), "hang" or
"hang deaf", to requests to end.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(how, arguments):
    words = arguments[arguments.index("--resume") + 1 :]
    settings = dict(zip(words[::2], words[1::2], strict=True))
    output, iterations = Path(settings["OUTPUT_DIR"]), int(settings["SOLVER.MAX_ITER"])
    threads, gpu = os.environ["OMP_NUM_THREADS"], os.environ.get("CUDA_VISIBLE_DEVICES")
    print(f"threads {threads}, GPU {gpu}, resumed {any(output.glob('*.pth'))}")
    (output / "model_0000001.pth").touch()
    if settings["SEED"] == "1" and how == "hang deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (output / "pid").write_text(str(os.getpid()))
    if settings["SEED"] == "1" and how == "fail":
        print("error: something is wrong")
        sys.exit(3)
    if settings["SEED"] == "1" and how == "die":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    while settings["SEED"] == "1" and how.startswith("hang"):
        time.sleep(0.1)
    line = {"iteration": iterations - 1, "comining/mined_per_image": 2.0}
    (output / "metrics.json").write_text(json.dumps(line) + "\n")
    (output / "model_final.pth").touch()
    ap = 10.0 + int(settings["SEED"])
    results = {"bbox": {"AP": ap, "AP50": 2 * ap, "AP75": ap / 2}}
    (output / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
