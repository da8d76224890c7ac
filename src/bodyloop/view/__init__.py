"""Pictures and files for people to look at: overlays, side views, contact sheets, mesh exports."""

from bodyloop.view.draw import contact_sheet, draw_keypoints
from bodyloop.view.overlay import overlay, side_view

__all__ = ["contact_sheet", "draw_keypoints", "overlay", "side_view"]
