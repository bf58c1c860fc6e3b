from litestar.openapi import OpenAPIConfig

CONFIG = OpenAPIConfig(
    title="engage", version="1", use_handler_docstrings=True, path="/openapi", render_plugins=[]
)
