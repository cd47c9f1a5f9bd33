"""streamd's application with settings from the environment, for an ASGI server on trio."""

from streamd.app import create_app
from streamd.settings import load_settings

app = create_app(load_settings())
