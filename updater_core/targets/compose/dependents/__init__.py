"""Containers of other projects that share a namespace or volumes with one that is recreated, and so go with
it.
"""
