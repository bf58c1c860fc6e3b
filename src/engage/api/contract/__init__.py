"""The OpenAPI document, made from the controllers, their structs and the catalogue of refusals.

`operation` is what a handler declares about itself; the other modules turn the declarations into a document.
"""
