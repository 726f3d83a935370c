"""The service: pictures over HTTP."""
