"""An entry of `services` that Compose deploys: its options and what is wrong with them. Pure."""
