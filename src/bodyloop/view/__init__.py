"""Pictures and files for people to look at: overlays, side views, contact sheets, mesh exports."""

from bodyloop.view.comparison import comparison, sample_comparison
from bodyloop.view.draw import contact_sheet, draw_keypoints
from bodyloop.view.export import SavedBodies, load_npz, save_glb, save_npz, save_obj, save_picture, save_ply
from bodyloop.view.overlay import overlay, side_view
from bodyloop.view.pose_sheet import pose_sheet

__all__ = [
    "SavedBodies",
    "comparison",
    "contact_sheet",
    "draw_keypoints",
    "load_npz",
    "overlay",
    "pose_sheet",
    "sample_comparison",
    "save_glb",
    "save_npz",
    "save_obj",
    "save_picture",
    "save_ply",
    "side_view",
]
