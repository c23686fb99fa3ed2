"""The member that is served; the application is put beside this file by workspace.Dockerfile."""

import prices  # noqa: F401 (what it depends on)
