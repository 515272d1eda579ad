"""Places on the sphere."""

import math

import numpy as np


def offset(ra: float, dec: float, angle: float, distance: float) -> tuple[float, float]:
    """The position `distance` arcsec away in the direction of `angle` (degrees, from north to east)."""
    # The spherical law of cosines loses small angles, so this works with vectors: p cos d + t sin d.
    lon, lat, theta, d = map(math.radians, (ra, dec, angle, distance / 3600))
    p = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    x, y, z = p * math.cos(d) + (north * math.cos(theta) + east * math.sin(theta)) * math.sin(d)
    return math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y)))
