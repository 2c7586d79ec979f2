"""What stands beside the image and must not be lost or broken: volumes, other containers, paths, ports,
variables.
"""
