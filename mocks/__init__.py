"""Stand-ins for the outside services, so that everything can be tried without an account."""
