"""Rigid and similarity registration of point clouds: plain ICP, robust ICP with a yaw sweep, FilterReg."""

from scenewright.metrics.registration.filterreg import FilterRegConfig, filterreg
from scenewright.metrics.registration.icp import icp
from scenewright.metrics.registration.robust_icp import RobustIcpConfig, robust_icp
from scenewright.metrics.registration.similarity import Similarity

__all__ = ["FilterRegConfig", "RobustIcpConfig", "Similarity", "filterreg", "icp", "robust_icp"]
