"""Measurements that are kept on disk, so that a later run of the same pixels takes them over."""
