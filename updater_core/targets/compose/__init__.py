"""How a Compose project on this engine deploys: observe, plan, edit, recreate, gate."""
