"""The board, the JSON and the admin; Django makes a database for them, so the migrations are tried too."""

from pathlib import Path

from django.contrib.auth.models import User
from django.core.management import call_command
from django.templatetags.static import static
from django.test import TestCase

import laps
from laps.models import Lap

BOARD_CSS = Path(laps.__file__).parent / "static/laps/board.css"


class Laps(TestCase):
    def test_the_models_have_their_migrations(self) -> None:
        call_command("makemigrations", check=True, verbosity=0)

    def test_the_board_starts_empty(self) -> None:
        self.assertContains(self.client.get("/"), "None yet.")

    def test_a_lap_is_taken_and_shown(self) -> None:
        answer = self.client.post("/", {"driver": "Ayrton", "seconds": "84.081"}, follow=True)

        self.assertRedirects(answer, "/")
        self.assertContains(answer, "<li>Ayrton: 84.081 s</li>", html=True)

    def test_the_fastest_comes_first(self) -> None:
        for driver, seconds in (("Alain", "85"), ("Ayrton", "84.5")):
            Lap.objects.create(driver=driver, seconds=seconds)

        self.assertEqual([lap["driver"] for lap in self.client.get("/laps").json()["laps"]], ["Ayrton", "Alain"])

    def test_what_is_no_lap_is_refused(self) -> None:
        for seconds in ("0", "-1", "fast", ""):
            with self.subTest(seconds=seconds):
                self.assertEqual(self.client.post("/", {"driver": "Ayrton", "seconds": seconds}).status_code, 400)
        self.assertEqual(Lap.objects.count(), 0)

    def test_health_needs_no_database(self) -> None:
        with self.assertNumQueries(0):
            self.assertEqual(self.client.get("/health").json()["interface"], "WSGI")

    def test_static_files_are_served(self) -> None:
        answer = self.client.get(static("laps/board.css"))

        self.assertEqual(b"".join(answer), BOARD_CSS.read_bytes())
        self.assertIn("immutable", answer["Cache-Control"])

    async def test_static_files_are_served_over_asgi(self) -> None:
        answer = await self.async_client.get(static("laps/board.css"))

        self.assertEqual(b"".join([chunk async for chunk in answer]), BOARD_CSS.read_bytes())

    async def test_the_interface_is_seen(self) -> None:
        self.assertEqual((await self.async_client.get("/health")).json()["interface"], "ASGI")

    def test_the_admin_lists_laps(self) -> None:
        Lap.objects.create(driver="Ayrton", seconds="84.081")
        self.client.force_login(User.objects.create_superuser("admin"))

        self.assertContains(self.client.get("/admin/laps/lap/"), "Ayrton")
