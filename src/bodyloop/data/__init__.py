"""Motion capture: readers of its formats, retargeting to SMPL, sets of poses, random cameras."""
