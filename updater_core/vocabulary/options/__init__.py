"""What an option of the configuration is: its row, the kind of its value, and how a plain value is read.

Pure.
"""
