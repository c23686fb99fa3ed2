"""What the environment says."""

from functools import lru_cache

from pydantic import SecretStr
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """`API_KEY` is a secret: the image reads it from the file that `API_KEY_FILE` names (see SECRETS_ENV)."""

    api_key: SecretStr
    shop_name: str = "Paddock Shop"


@lru_cache
def get_settings() -> Settings:
    """Return the settings, read once in each worker."""
    return Settings()
