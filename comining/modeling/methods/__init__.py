"""Methods: what two branches learn from, beside the annotations, of what they detect."""

from .adaptive import Adaptive, Ignoring
from .brl import BRL
from .build import add_method_settings, build_method, method_name
from .calibrated_teacher import CalibratedTeacher
from .co_student import CoStudent
from .mean_teacher import MeanTeacher
from .method import METHOD_REGISTRY, Method, Step, Supervision
from .oracle import Oracle
from .published import Published
from .s2_teacher import S2Teacher
from .two_views_only import TwoViewsOnly

__all__ = [
    "BRL",
    "METHOD_REGISTRY",
    "Adaptive",
    "CalibratedTeacher",
    "CoStudent",
    "Ignoring",
    "MeanTeacher",
    "Method",
    "Oracle",
    "Published",
    "S2Teacher",
    "Step",
    "Supervision",
    "TwoViewsOnly",
    "add_method_settings",
    "build_method",
    "method_name",
]
