#!/usr/bin/env python
"""Train or evaluate a detector on sparsely annotated images.

python train_net.py --config-file configs/miss50p_R101.yaml --num-gpus 8
python train_net.py --config-file configs/miss50p_R101.yaml --eval-only MODEL.WEIGHTS model.pth
python train_net.py --config-file configs/lazy/hard_R50.py --num-gpus 8 train.seed=1

A YAML config is data. One that ends in .py is a detectron2 Lazy config: a Python program, which is
run. Run none that you would not run otherwise.
"""

from comining.engine.run import command

if __name__ == "__main__":
    command(__doc__)
