"""The one root service of a machine: makes labs for whoever asks, and finds them again."""
