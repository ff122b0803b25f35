"""From a config and weights to a file for other programs."""

import json
import logging
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from comining.data import register_from_config
from comining.engine import export, export_formats, exporting
from comining.engine.export_formats import FORMATS, Format
from comining.engine.exporting import count_different
from comining.errors import InputError
from tests.modeling.helpers import each_detector, tiny_model
from tests.modeling.test_export import assert_same, detections


@pytest.fixture
def trained(own_config, own_data, detector, tmp_path):
    """A config with weights, and the detector that they make."""
    own_config.merge_from_file
