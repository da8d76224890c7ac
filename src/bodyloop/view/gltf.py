"""glTF binary documents: what static and animated people have in common.

Imported where a file is written: pygltflib takes a while to load.
"""

from pathlib import Path

import numpy as np
import pygltflib as gltf

from bodyloop import __version__
from bodyloop.writing import write_atomic

_COMPONENTS = {
    "float32": gltf.FLOAT,
    "uint8": gltf.UNSIGNED_BYTE,
    "uint16": gltf.UNSIGNED_SHORT,
    "uint32": gltf.UNSIGNED_INT,
}
_KINDS = {(): gltf.SCALAR, (3,): gltf.VEC3, (4,): gltf.VEC4, (4, 4): gltf.MAT4}


class Document:
    """A glTF document with one scene and one buffer that grows."""

    def __init__(self) -> None:
        asset = gltf.Asset(generator=f"bodyloop {__version__}")
        self.content = gltf.GLTF2(asset=asset, scene=0, scenes=[gltf.Scene(nodes=[])])
        self._blob = bytearray()

    def accessor(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Append an array (N,), (N, 3), (N, 4) or (N, 4, 4) of float32, uint8, uint16 or uint32; returns its number.

        Args:
            array: matrices hold their columns one after the other, as glTF has them.
            target: ARRAY_BUFFER or ELEMENT_ARRAY_BUFFER for what a GPU draws.
            bounds: whether the least and the largest values are told.
        """
        view = gltf.BufferView(buffer=0, byteOffset=len(self._blob), byteLength=array.nbytes, target=target)
        self.content.bufferViews.append(view)
        self._blob.extend(array.tobytes())
        self._blob.extend(bytes(-len(self._blob) % 4))  # components of any size start at their multiples
        rows = array.reshape(len(array), -1)
        limits = {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()} if bounds else {}
        accessor = gltf.Accessor(
            bufferView=len(self.content.bufferViews) - 1,
            componentType=_COMPONENTS[array.dtype.name],
            count=len(array),
            type=_KINDS[array.shape[1:]],
            **limits,
        )
        self.content.accessors.append(accessor)
        return len(self.content.accessors) - 1

    def corners(self, faces: np.ndarray) -> int:
        """Append triangles (F, 3), in the fewest bytes that hold their numbers."""
        kind = np.uint16 if faces.max() < 65535 else np.uint32  # 65535 itself means a restart
        return self.accessor(faces.astype(kind).ravel(), gltf.ELEMENT_ARRAY_BUFFER)

    def mesh(
        self,
        name: str,
        vertices: np.ndarray,
        normals: np.ndarray,
        corners: int,
        color: np.ndarray,
        **attributes: int,
    ) -> int:
        """Append a mesh with a plain material of its name; returns its number.

        Args:
            name: of both.
            vertices: (V, 3) metres.
            normals: (V, 3) unit vectors.
            corners: what `corners` returned.
            color: (3,) from 0 to 1.
            **attributes: accessors of further attributes of the vertices, such as JOINTS_0.
        """
        places = self.accessor(vertices.astype(np.float32), gltf.ARRAY_BUFFER, bounds=True)
        directions = self.accessor(normals.astype(np.float32), gltf.ARRAY_BUFFER)
        look = gltf.PbrMetallicRoughness(
            baseColorFactor=[*color.tolist(), 1.0], metallicFactor=0.0, roughnessFactor=0.8
        )
        self.content.materials.append(gltf.Material(name=name, pbrMetallicRoughness=look))
        known = gltf.Attributes(POSITION=places, NORMAL=directions, **attributes)
        primitive = gltf.Primitive(
            attributes=known, indices=corners, material=len(self.content.materials) - 1
        )
        self.content.meshes.append(gltf.Mesh(name=name, primitives=[primitive]))
        return len(self.content.meshes) - 1

    def node(self, node: gltf.Node, root: bool = False) -> int:
        """Append a node, to the scene itself if it is a root; returns its number."""
        self.content.nodes.append(node)
        number = len(self.content.nodes) - 1
        if root:
            self.content.scenes[0].nodes.append(number)
        return number

    def save(self, path: str | Path) -> None:
        """Write the document as ``.glb``.

        Raises:
            InputError: if the file cannot be written.
        """
        self.content.buffers.append(gltf.Buffer(byteLength=len(self._blob)))
        self.content.set_binary_blob(bytes(self._blob))
        write_atomic(path, b"".join(self.content.save_to_bytes()))
