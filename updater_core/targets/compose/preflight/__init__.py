"""What stands beside the image and must not be lost or broken: volumes, containers, paths, ports, values."""
