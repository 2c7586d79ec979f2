"""The HTTP API: who may ask what, what is answered, and how its orders go the same way as those of the
command line.
"""
