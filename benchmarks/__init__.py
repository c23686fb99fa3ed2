"""The measured comparisons: `./dev bench NAME` runs one, and writes what it saw to `results/NAME.json`."""
