"""Environments over the OpenEnv protocol: ours served to others, and those of others to train against."""

from fivestones.environments.openenv.client import RemoteEnvironment
from fivestones.environments.openenv.protocol import ProtocolError
from fivestones.environments.openenv.server import Limits, ServedThread, serve
from fivestones.environments.openenv.sessions import RemoteTools

__all__ = ["Limits", "ProtocolError", "RemoteEnvironment", "RemoteTools", "ServedThread", "serve"]
