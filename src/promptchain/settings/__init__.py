"""Settings: what the environment, an ``.env`` file and profiles say of a chain, without a change to its code."""

from promptchain.settings.base import Overrides, Settings
from promptchain.settings.layers import Effective, Layer
from promptchain.settings.profiles import BUILT_IN_PROFILES, Profile

__all__ = ["BUILT_IN_PROFILES", "Effective", "Layer", "Overrides", "Profile", "Settings"]
