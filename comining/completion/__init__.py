"""Completing a data set: reviewing what was mined."""
