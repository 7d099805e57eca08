"""The gates of driving scenes."""
