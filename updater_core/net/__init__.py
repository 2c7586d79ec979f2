"""One bounded HTTP exchange, TLS trust, which URL and host may be trusted, untrusted JSON."""
