"""What people see."""

from flask import Blueprint, render_template, request

from fuel.plan import Race

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def form() -> str:
    """Show the empty form."""
    return render_template("plan.html")


@blueprint.post("/")
def plan() -> str | tuple[str, int]:
    """Show the stints of the race in the form."""
    try:
        race = Race.read(request.form)
    except ValueError as error:
        return render_template("plan.html", error=error), 400
    return render_template("plan.html", race=race)


@blueprint.get("/health")
def health() -> dict[str, str]:
    """Answer the health check of the container."""
    return {"status": "ok"}
