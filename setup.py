import os
import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = "0.1.0"
# GitHub tells its workflows, which make the releases, where they run.
REPOSITORY = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}" if "GITHUB_REPOSITORY" in os.environ else ""
REPOSITORY = REPOSITORY.format_map(os.environ)


def long_description() -> str:
    """README.md as it is read outside of the repository.

    Links into the repository get their whole addresses. Where the repository isn't known, their
    texts alone stay, and pictures go.
    """
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    relative = r"(?!\w+:|#)"
    # References first become links: [text][name] and [name] with "[name]: target" at the end.
    for name, target in re.findall(rf"^\[([^\]]+)\]: {relative}(\S+)$", text, re.M):
        text = text.replace(f"\n[{name}]: {target}", "")
        text = re.sub(rf"\]\[{name}\]", f"]({target})", text)
        text = re.sub(rf"\[{name}\](?!\()", f"[{name}]({target})", text)

    def whole(found: re.Match) -> str:
        is_picture, name, target = found.groups()
        if not REPOSITORY:
            return "" if is_picture else name
        kind = "raw" if is_picture else "blob"
        return f"{is_picture}[{name}]({REPOSITORY}/{kind}/v{VERSION}/{target})"

    return re.sub(rf"(!?)\[([^\]]*)\]\({relative}([^)\s]+)\)", whole, text)


# Tested with Python 3.11, torch 2.14, torchvision 0.29, numpy 2.4 and Pillow 13.
#
# detectron2 is required too, but no package index has a distribution of that name, so it can't be
# listed: `comining install-detectron2` installs it where it is missing.
REQUIREMENTS = [
    # Earlier ones could be made to run code by a checkpoint (CVE-2025-32434, CVE-2026-24747).
    "torch>=2.10,<3",
    "torchvision>=0.25,<1",
    "fvcore>=0.1.5,<0.1.6",
    "pycocotools>=2.0.7,<3",
    "numpy>=1.24,<3",
    "Pillow>=10.1",
    "PyYAML>=6,<7",
    # For Lazy configs, as detectron2 itself requires them.
    "omegaconf>=2.1,<2.4",
    "hydra-core>=1.1,<2",
    "matplotlib>=3.7,<4",
    "tqdm>=4.65,<5",
    "click>=8.1,<9",
    # `comining review` serves its page with these.
    "starlette>=0.40,<2",
    "uvicorn>=0.30,<1",
    # detectron2's model_zoo imports pkg_resources, which setuptools 81 dropped.
    "setuptools>=64,<81",
]

CONFIG_PACKAGES = [
    "comining.configs",
    "comining.configs.lazy",
    "comining.configs.lazy.common",
    "comining.configs.studies",
]

# Evaluation by pycocotools takes many times longer.
FAST_REQUIREMENTS = ["faster-coco-eval>=1.6,<2"]

# `comining predict` reads videos with PyAV.
VIDEO_REQUIREMENTS = ["av>=14.2"]

# `comining export` writes ONNX files with these.
EXPORT_REQUIREMENTS = ["onnx>=1.16", "onnxruntime>=1.18"]

# `make docs` builds the documentation with these.
DOCS_REQUIREMENTS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.6,<10",
    "mkdocstrings>=1,<2",
    "mkdocstrings-python>=2,<3",
    "pymdown-extensions>=10.14,<14",
]

DEV_REQUIREMENTS = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "selenium>=4.20,<5",
    "hypothesis>=6.100",
    # An independent reader and writer of annotation formats, to compare with.
    "globox>=2.9,<3",
    "ruff>=0.15",
    "mypy>=1.15",
]

setup(
    name="comining",
    version=VERSION,
    description="Co-mining: object detection from sparsely annotated images, with detectron2",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    url=REPOSITORY or None,
    author="The comining authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["object detection", "sparse annotations", "pseudo labels", "detectron2"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.10",
    # The configs lie at the top of the repository; installed, they lie in the package.
    packages=[*find_packages(include=["comining", "comining.*"]), *CONFIG_PACKAGES],
    package_dir={name: name.partition(".")[2].replace(".", "/") for name in CONFIG_PACKAGES},
    package_data={
        "comining": ["py.typed"],
        "comining.completion": ["page/*", "report.html"],
        **{name: ["*.yaml", "*.py"] for name in CONFIG_PACKAGES},
    },
    entry_points={"console_scripts": ["comining = comining.cli:main"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "fast": FAST_REQUIREMENTS,
        "video": VIDEO_REQUIREMENTS,
        "export": EXPORT_REQUIREMENTS,
        "docs": DOCS_REQUIREMENTS,
        "dev": (FAST_REQUIREMENTS + VIDEO_REQUIREMENTS + EXPORT_REQUIREMENTS + DEV_REQUIREMENTS),
    },
)
