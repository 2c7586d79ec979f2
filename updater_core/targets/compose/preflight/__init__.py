"""What stands beside the image and must not be lost or broken.

Volumes, other containers, paths, ports, variables.
"""
