"""What is kept in the database."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models


class Lap(models.Model):
    """One lap; the fastest comes first."""

    driver = models.CharField(max_length=40)
    seconds = models.DecimalField(max_digits=7, decimal_places=3, validators=[MinValueValidator(Decimal("0.001"))])
    driven_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["seconds", "driven_at"]

    def __str__(self) -> str:
        return f"{self.driver}: {self.seconds} s"
