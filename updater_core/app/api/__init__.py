"""The HTTP API: who may ask what, what is answered; its orders go the same way as the command line's."""
