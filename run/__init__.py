"""A run at work, and the Python interface to it."""

from run.interface import evolve, open_run, plan
from run.opened import OpenedRun
from run.request import Devices, Request

__all__ = ["Devices", "OpenedRun", "Request", "evolve", "open_run", "plan"]
