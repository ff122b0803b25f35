"""Annotation files: read, check, repair, thin out, complete and exchange with other tools.

Nothing here needs torch.
"""
