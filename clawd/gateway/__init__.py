"""The HTTP server: health, REST, OpenAI's API, and the bridges whose platforms call us.

Nothing is imported here: where it is off its modules, and their memory, are not needed.
"""
