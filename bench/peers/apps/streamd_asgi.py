"""streamd's application with settings from the environment, for any ASGI server on trio."""

from streamd.app import create_app
from streamd.settings import load_settings

app = create_app(load_settings())
