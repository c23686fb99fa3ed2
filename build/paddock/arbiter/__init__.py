"""The arbiter: the workers' numbers, reload, what is answered while nobody serves, memory and kills."""
