from inboard import LOGGING_CONFIG

LOGGING_CONFIG["formatters"]["mycustomformat"] = {"format": "[%(name)s] %(levelname)s %(message)s"}
LOGGING_CONFIG["handlers"]["default"]["formatter"] = "mycustomformat"
