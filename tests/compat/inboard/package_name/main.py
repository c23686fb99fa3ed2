from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def read_root():
    return {"message": "Hello World!"}


@app.get("/health")
def health():
    return {"message": "healthy"}
