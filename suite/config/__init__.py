"""Configurations: pydantic models, YAML that knows its positions, inheritance, references, overrides."""

from suite.config.dump import dump
from suite.config.load import Loaded, load_config
from suite.config.model import Config
from suite.config.schema import schema

__all__ = ["Config", "Loaded", "dump", "load_config", "schema"]
