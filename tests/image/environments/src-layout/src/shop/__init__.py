"""A package in src/; the application is put beside this file by src.Dockerfile."""
