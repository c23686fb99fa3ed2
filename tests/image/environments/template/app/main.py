"""The parts of the template's backend that need no database."""

from importlib.metadata import version

from fastapi import APIRouter, FastAPI, WebSocket
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    API_V1_STR: str = "/api/v1"
    PROJECT_NAME: str = "Full Stack FastAPI Project"


settings = Settings()
router = APIRouter(prefix="/utils", tags=["utils"])


@router.get("/health-check/")
async def health_check() -> bool:
    return True


@router.get("/versions/")
def versions() -> dict[str, str]:
    return {name: version(name) for name in ("uvicorn", "httptools")}


@router.websocket("/echo/")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = FastAPI(title=settings.PROJECT_NAME, openapi_url=f"{settings.API_V1_STR}/openapi.json")
app.include_router(router, prefix=settings.API_V1_STR)
