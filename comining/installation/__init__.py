"""Installing detectron2, which no package index has under its name."""
